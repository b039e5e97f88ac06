"""check: what passes, what is refused, and what it costs."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxdaw import specs
from jaxdaw.errors import SpecError, SpecTypeError
from jaxdaw.specs import BoundedTensorSpec, TensorSpec

QUICK = settings(max_examples=60, deadline=None)
NEST = {
    "pose": BoundedTensorSpec((2,), "float32", -1, [1, 2]),
    "flags": (TensorSpec((), bool), TensorSpec((3,), "uint8")),
}


def refuses(value, spec, *args, **kwargs):
    try:
        specs.check(value, spec, *args, **kwargs)
    except SpecError:
        return True
    return False


@pytest.mark.parametrize("outer", [(), (5,), (5, 3)])
def test_check_accepts_zeros_of_every_kind(outer):
    for value in (specs.zeros(NEST, outer), specs.zeros_numpy(NEST, outer), specs.to_shape_dtype_struct(NEST, outer)):
        specs.check(value, NEST, outer)
        specs.check(value, NEST, len(outer))
        assert refuses(value, NEST, (*outer, 2))
        assert refuses(value, NEST, len(outer) + 1)


def test_check_without_outer_dims_wants_the_shape_itself():
    specs.check(specs.zeros_numpy(NEST), NEST)
    assert refuses(specs.zeros_numpy(NEST, (1,)), NEST)


def test_check_accepts_the_empty_nest():
    specs.check((), (), 1)


@pytest.mark.parametrize(
    "array",
    [
        np.ones((4, 3), ">f4"),
        np.asfortranarray(np.ones((4, 3), np.float32)),
        np.ones((8, 6), np.float32)[::2, ::2],
        np.broadcast_to(np.float32(1), (4, 3)),  # read-only, with strides of 0
        np.ones((3, 4), np.float32).T,
    ],
)
def test_check_ignores_byte_order_and_layout(array):
    specs.check(array, BoundedTensorSpec((3,), "float32", 0, 1), 1)
    assert refuses(array, BoundedTensorSpec((3,), "float32", 0, 0.5), 1)


def test_check_takes_device_values_of_64_bit_specs():
    spec = BoundedTensorSpec((), "int64", 0, 3)
    for value in (np.int64(3), jnp.int32(3), np.asarray(jnp.int32(3))):
        specs.check(value, spec)
    assert refuses(np.int32(4), spec)
    assert refuses(np.int16(3), spec)
    tenth = BoundedTensorSpec((), "float64", 0.1, 0.1)  # float32(0.1) > 0.1: bounds are compared in the value's dtype
    specs.check(np.float32(0.1), tenth)
    assert refuses(np.float32(0.1) + np.float32(1e-7), tenth)
    with jax.enable_x64(True):
        assert refuses(np.int32(3), spec)
        specs.check(jnp.int64(3), spec)


def test_check_takes_python_numbers_of_numpys_dtype():
    specs.check(
        {"a": 3, "b": 0.5, "c": True},
        {key: TensorSpec((), kind) for key, kind in (("a", int), ("b", float), ("c", bool))},
    )
    assert refuses(0.5, TensorSpec((), "float32"))
    assert refuses(4, BoundedTensorSpec((), "int64", 0, 3))


def test_check_reads_only_static_facts_of_traced_and_device_values():
    spec = BoundedTensorSpec((2,), "float32", 0, 1)

    @jax.jit
    def double(x):
        specs.check(x, spec, 1)
        return 2 * x

    double(jnp.full((3, 2), 7.0))
    specs.check(jnp.full((2,), 7.0), spec)  # out of range, but on the device
    assert refuses(np.full((2,), 7.0, np.float32), spec)


@QUICK
@given(data=st.data())
def test_check_finds_every_value_out_of_range(data):
    dtype = data.draw(st.sampled_from(["int8", "float16", "float32", "uint8"]))
    arrays = hnp.arrays(dtype, (4, 2), elements=hnp.from_dtype(np.dtype(dtype)))
    value, one, other = data.draw(arrays), data.draw(arrays)[0], data.draw(arrays)[0]
    low, high = np.nan_to_num(np.minimum(one, other)), np.nan_to_num(np.maximum(one, other))
    expected = all(
        low[j] <= value[i, j] <= high[j] for i in range(4) for j in range(2)
    )  # element by element; NaN fails
    spec = BoundedTensorSpec((2,), dtype, low, high)
    assert refuses(value, spec, 1) != expected
    specs.check(value, spec, 1, check_bounds=False)


def test_check_accepts_infinity_only_within_infinite_bounds():
    value = np.array([np.inf], np.float32)
    specs.check(value, BoundedTensorSpec((1,), "float32", 0, np.inf))
    specs.check(value, TensorSpec((1,), "float32"))
    assert refuses(value, BoundedTensorSpec((1,), "float32", 0, 3e38))


def test_check_wants_leaves_to_agree_on_outer_axes():
    value = {"a": np.zeros((5, 2), np.float32), "b": np.zeros(4, np.float32)}
    spec = {"a": TensorSpec((2,), "float32"), "b": TensorSpec((), "float32")}
    with pytest.raises(SpecError) as error:
        specs.check(value, spec, 1, what="frames")
    assert str(error.value) == (
        "the leaves of frames disagree on the batch and time axes at ['b']\n"
        "  expected  (5,), as in the first leaf          got  (4,)"
    )


def test_check_compares_structure_first():
    with pytest.raises(SpecTypeError, match=r"^experience has another structure than expected at \['a'\]"):
        specs.check({"a": [np.zeros(3)]}, {"a": (TensorSpec((), "float32"),)}, what="experience")


def test_check_refuses_leaves_that_are_no_specs_or_no_arrays():
    with pytest.raises(
        SpecTypeError, match=r"does not match its spec at \['a'\], which is no spec\n  expected  TensorSpec"
    ):
        specs.check({"a": np.zeros(3)}, {"a": "float32"})
    with pytest.raises(SpecTypeError, match=r"expected  float32 .*got  a Python str\n  Fix: numpy.asarray"):
        specs.check("text", TensorSpec((), "float32"))
    with pytest.raises(SpecTypeError, match="got  key<fry>"):
        specs.check(jax.random.key(0), TensorSpec((), "uint32"))


def test_check_of_many_leaves_costs_microseconds():
    spec = {f"leaf {index:03}": TensorSpec((2,), "float32") for index in range(200)}
    value = specs.zeros_numpy(spec, (8,))

    def seconds_per_leaf():
        start = time.perf_counter()
        specs.check(value, spec, (8,), check_bounds=False)
        return (time.perf_counter() - start) / 200

    assert min(seconds_per_leaf() for _ in range(50)) < 5e-6  # 0.6 us on an idle core; room for a busy machine


def test_arrays_of_the_other_byte_order_become_native_and_others_stay():
    given = {"a": np.array([1, -2], ">i4"), "b": (np.ones(2, "<f4"), 3.0)}
    found = specs.in_native_order(given)
    assert found["a"].dtype == np.dtype("=i4")
    assert found["a"].tolist() == [1, -2]
    assert found["a"].tobytes() == np.array([1, -2], np.int32).tobytes()
    assert found["b"][0] is given["b"][0]
    assert found["b"][1] == 3.0
