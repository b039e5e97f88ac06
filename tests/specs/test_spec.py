"""TensorSpec and BoundedTensorSpec: what they store, what they refuse, when they are equal."""

import copy
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxdaw.errors import SpecError, SpecTypeError
from jaxdaw.specs import BoundedTensorSpec, TensorSpec, is_bounded, is_continuous, is_discrete, num_values

QUICK = settings(max_examples=60, deadline=None)


def message_of(make):
    with pytest.raises(SpecError) as error:
        make()
    return str(error.value)


def test_spec_stores_native_tuples_and_dtypes():
    spec = TensorSpec([np.int64(3), 2], ">f4", "é/x")
    assert spec.shape == (3, 2)
    assert all(type(size) is int for size in spec.shape)
    assert spec.dtype.isnative
    assert spec.dtype == np.float32
    assert spec.name == "é/x"


def test_spec_is_frozen():
    for spec in (TensorSpec((), "int32"), BoundedTensorSpec((), "int32", 0, 1)):
        for field in dataclasses.fields(spec):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(spec, field.name, None)


def test_bounds_are_read_only_copies():
    low = np.zeros(2, np.float32)
    spec = BoundedTensorSpec((2,), "float32", low, 1)
    low[0] = 0.5
    assert spec.minimum[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        spec.minimum[0] = 1


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copies_are_equal_and_read_only(duplicate):
    spec = BoundedTensorSpec((2,), "float32", [0, 1], 2, "x")
    assert duplicate(spec) == spec
    assert not duplicate(spec).minimum.flags.writeable
    assert duplicate(TensorSpec((2,), "int8", "x")) == TensorSpec((2,), "int8", "x")


def test_replace_makes_a_checked_spec():
    spec = BoundedTensorSpec((2,), "int32", 0, [1, 2], "x")
    assert dataclasses.replace(spec, name="y") == BoundedTensorSpec((2,), "int32", 0, [1, 2], "y")
    assert "does not fit its shape" in message_of(lambda: dataclasses.replace(spec, shape=(3,)))


def test_spec_is_a_leaf_of_a_pytree():
    spec = {"a": TensorSpec((), "int32"), "b": BoundedTensorSpec((), "int32", 0, 1)}
    assert jax.tree.leaves(spec) == [spec["a"], spec["b"]]


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (4, "the shape of a spec is a number\n  expected  a tuple          got  4\n  Fix: (4,)"),
        (True, "the shape of a spec is a number\n  expected  a tuple          got  True\n  Fix: (1,)"),
        ((True, 2), "not a tuple of integers\n  expected  such as (4,)          got  (True, 2)"),
        ((2.0,), "not a tuple of integers"),
        ((None, 2), "not a tuple of integers"),
        ("ab", "not a tuple of integers"),
        (None, "not a tuple of integers"),
        ((-1, 2), "a size below 1\n  expected  sizes of at least 1          got  (-1, 2)"),
        ((0,), "a size below 1"),
    ],
)
def test_spec_refuses_shape(shape, text):
    assert text in message_of(lambda: TensorSpec(shape, "float32"))


@pytest.mark.parametrize("dtype", ["U3", "S3", object, None, np.complex64, np.longdouble, "datetime64[s]", "nonsense"])
def test_spec_refuses_dtype(dtype):
    assert "unsupported dtype of a spec\n  expected  bool, an integer, or a floating" in message_of(
        lambda: TensorSpec((), dtype)
    )


def test_spec_refuses_a_name_that_is_no_text():
    with pytest.raises(SpecTypeError, match="the name of a spec is not text"):
        TensorSpec((), "float32", 3)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("dtype", "low", "high", "text"),
    [
        ("float32", 1, 0, "minimum is above maximum in spec float32 (2,)"),
        ("float32", [0, 3], [1, 2], "got  minimum [0.0, 3.0], maximum [1.0, 2.0]"),
        ("int32", 0.2, 0.8, "no integer between them"),
        ("float32", [1, 2, 3], 4, "minimum of spec float32 (2,) does not fit its shape"),
        ("float32", 0, [[1, 1]], "expected  a shape that broadcasts to (2,)          got  shape (1, 2)"),
        ("float32", float("nan"), 0, "minimum of spec float32 (2,) is NaN, which no array can meet"),
        ("int32", 0, float("inf"), "maximum of spec int32 (2,) is infinite"),
        ("uint8", 0, 300, "maximum of spec uint8 (2,) is outside uint8\n  expected  within [0, 255]          got  300"),
        ("uint8", -1, 3, "minimum of spec uint8 (2,) is outside uint8"),
        ("float16", 0, 1e5, "outside float16"),
        ("float32", 0, 1e39, "outside float32"),
        ("float32", None, 0, "minimum of spec float32 (2,) is missing"),
        ("float32", 0, None, "Fix: TensorSpec(shape, dtype) for an array without bounds"),
        ("float32", "low", 0, "minimum of spec float32 (2,) is not a number"),
        ("float32", 0, object(), "maximum of spec float32 (2,) is not a number"),
        ("int64", 0, 2**40, "does not fit int32, which JAX stores in place of int64"),
        ("uint64", 0, 2**32, "Fix: JAX_ENABLE_X64=1, or narrower bounds"),
        ("int64", 0, 2**70, "outside int64"),
        ("int64", 0, 2.0**63, "outside int64"),  # 2**63 - 1 as a float would round to 2**63
    ],
)
def test_bounded_spec_refuses_bounds(dtype, low, high, text):
    assert text in message_of(lambda: BoundedTensorSpec((2,), dtype, low, high))


def test_bounded_spec_names_the_spec_in_its_refusal():
    assert message_of(lambda: BoundedTensorSpec((), "int32", 1, 0, "gear")).startswith(
        "minimum is above maximum in spec 'gear'"
    )


def test_bounded_spec_takes_64_bit_bounds_when_x64_is_on():
    with jax.enable_x64(True):
        assert BoundedTensorSpec((), "int64", 0, 2**40).maximum == 2**40
        assert "outside int64" in message_of(lambda: BoundedTensorSpec((), "int64", 0, 2.0**63))


def test_bounded_spec_takes_64_bit_dtypes_that_fit_32_bits():
    spec = BoundedTensorSpec((), "int64", -(2**31), 2**31 - 1)
    assert (spec.dtype, spec.minimum.dtype) == (np.int64, np.int64)


@pytest.mark.parametrize(
    ("low", "high", "stored"),
    [(0.0, 3.7, (0, 3)), (-0.5, 0.5, (0, 0)), (0.2, 1.9, (1, 1)), (-3.7, -1.2, (-3, -2))],
)
def test_integer_bounds_are_rounded_inwards(low, high, stored):
    spec = BoundedTensorSpec((), "int32", low, high)
    assert (int(spec.minimum), int(spec.maximum)) == stored


def test_float_bounds_keep_infinities_and_round_to_the_extremes():
    spec = BoundedTensorSpec((2,), "float32", -np.inf, [3.4028235e38, np.inf])  # the literal is above the exact extreme
    assert spec.minimum == -np.inf
    np.testing.assert_array_equal(spec.maximum, [np.finfo(np.float32).max, np.inf])


def test_bounds_may_come_from_jax_and_bfloat16():
    assert BoundedTensorSpec((2,), "float32", jnp.zeros(2), 1) == BoundedTensorSpec((2,), "float32", 0, 1)
    spec = BoundedTensorSpec((), jnp.bfloat16, jnp.bfloat16(-0.5), 0.5)
    assert is_continuous(spec)
    assert not is_discrete(spec)
    assert "outside bfloat16" in message_of(lambda: BoundedTensorSpec((), jnp.bfloat16, 0, 1e300))


def test_bool_spec_may_have_bounds():
    assert BoundedTensorSpec((), bool, False, True).maximum
    assert "outside bool" in message_of(lambda: BoundedTensorSpec((), bool, 0, 2))


def test_equality_compares_class_name_and_bounds():
    plain, bounded = TensorSpec((2,), "float32", "a"), BoundedTensorSpec((2,), "float32", 0, 1, "a")
    assert plain != bounded
    assert bounded != plain
    assert plain != TensorSpec((2,), "float32", "b")
    assert plain != "a"
    assert bounded != BoundedTensorSpec((2,), "float32", 0, 1.01, "a")
    assert bounded == BoundedTensorSpec((2,), "float32", [0, 0], [1, 1], "a")
    assert BoundedTensorSpec((), "float32", -np.inf, 1) != BoundedTensorSpec((), "float32", -1e30, 1)
    assert len({plain, bounded, TensorSpec([2], np.float32, "a")}) == 2


@QUICK
@given(data=st.data(), dtype=st.sampled_from(["int8", "uint8", "int32", "float16", "float32", "float64", "bool"]))
def test_equal_specs_have_equal_hashes_however_bounds_are_written(data, dtype):
    bounds = hnp.arrays(dtype, (2, 3), elements=hnp.from_dtype(np.dtype(dtype), allow_nan=False))
    one, other = data.draw(bounds), data.draw(bounds)
    low, high = np.minimum(one, other), np.maximum(one, other)
    spec = BoundedTensorSpec((2, 3), dtype, low, high)
    assert spec == BoundedTensorSpec((2, 3), dtype, low.tolist(), high.tolist())
    assert hash(spec) == hash(BoundedTensorSpec((2, 3), dtype, low.min(), high.max()))
    if (low == low.flat[0]).all():
        assert spec == BoundedTensorSpec((2, 3), dtype, low.flat[0], high)


def test_repr_is_short():
    assert repr(TensorSpec((2,), "float32")) == "TensorSpec(shape=(2,), dtype=float32, name=None)"
    wide = BoundedTensorSpec((5,), "int32", range(5), 9, "x")
    assert repr(wide) == "BoundedTensorSpec(shape=(5,), dtype=int32, minimum=0..4 (5,), maximum=9, name='x')"


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("bool", False, True),
        ("int8", -128, 127),
        ("int64", -(2**31), 2**31 - 1),  # as it is on the device
        ("float32", -3.4028235e38, 3.4028235e38),
    ],
)
def test_from_spec_takes_the_extremes_of_the_dtype(dtype, low, high):
    assert BoundedTensorSpec.from_spec(TensorSpec((2,), dtype, "x")) == BoundedTensorSpec((2,), dtype, low, high, "x")


def test_from_spec_keeps_bounds_and_may_rename():
    spec = BoundedTensorSpec((2,), "int32", 0, [1, 2], "x")
    assert BoundedTensorSpec.from_spec(spec) == spec
    assert BoundedTensorSpec.from_spec(spec, "y").name == "y"


def test_predicates_of_bool():
    spec = TensorSpec((), bool)
    assert (is_discrete(spec), is_continuous(spec), is_bounded(spec)) == (False, False, False)


def test_num_values_counts_each_element():
    counts = num_values(BoundedTensorSpec((2, 2), "int32", [0, 1], 3))
    np.testing.assert_array_equal(counts, [[4, 3], [4, 3]])  # 3 - 0 + 1 and 3 - 1 + 1
    assert counts.dtype == np.int64
    assert num_values(BoundedTensorSpec((), "int32", -(2**31), 2**31 - 1)) == 2**32
    assert int(num_values(BoundedTensorSpec((), "uint8", 0, 255))) == 256


def test_num_values_refuses_what_cannot_be_counted():
    for spec in (TensorSpec((), "int32"), BoundedTensorSpec((), "float32", 0, 1), BoundedTensorSpec((), bool, 0, 1)):
        assert "the number of values is unknown" in message_of(lambda spec=spec: num_values(spec))
    with jax.enable_x64(True):
        widest = BoundedTensorSpec((), "int64", -(2**63), 2**63 - 1)
        assert "too many values" in message_of(lambda: num_values(widest))
