"""What check says: expected and got, the likely cause, and a fix that works."""

import jax.numpy as jnp
import numpy
import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.errors import SpecError, SpecTypeError
from jaxdaw.specs import BoundedTensorSpec, TensorSpec

CAMERA = TensorSpec((84, 96, 4), "uint8")
POSE = BoundedTensorSpec((2,), "float32", -1, 1)


def message_of(value, spec, outer_dims=None, kind=SpecError):
    with pytest.raises(SpecError) as error:
        specs.check(value, spec, outer_dims)
    assert type(error.value) is kind
    return str(error.value)


def test_whole_message_of_the_documented_example():
    value = {"pos": np.array([[0.5, 1.7]])}
    with pytest.raises(SpecTypeError) as error:
        specs.check(value, {"pos": POSE}, what="observation from MyEnv.step()")
    assert str(error.value) == (
        "observation from MyEnv.step() does not match its spec at ['pos']\n"
        "  expected  float32 (2,) in [-1.0, 1.0]          got  float64 (1, 2)\n"
        "  Likely cause: an extra leading dimension, as numpy.array([x]) makes. "
        "NumPy makes float64 unless told otherwise.\n"
        '  Fix: value[0].astype("float32")'
    )


# Value, spec, outer axes, the likely cause, and the fix as code in `value` (None: none is offered).
CHANNELS_FIRST = TensorSpec((4, 84, 96), "uint8")
TO_LAST, TO_FIRST = "numpy.moveaxis(value, -3, -1)", "numpy.moveaxis(value, -1, -3)"
LEADING, BATCH = "an extra leading dimension", "the batch dimension is missing"
SHAPES = {
    "extra leading axis": (np.zeros((1, 2), "f4"), POSE, None, LEADING, "value[0]"),
    "extra batch axis": (np.zeros((1, 3, 2), "f4"), POSE, (3,), LEADING, "value[0]"),
    "a batch": (np.zeros((7, 2), "f4"), POSE, None, "a batch of 7 where one value is expected", None),
    "no batch axis": (np.zeros(2, "f4"), POSE, (1,), BATCH, "value[None]"),
    "no batch axis, any size": (np.zeros(2, "f4"), POSE, 1, BATCH, "value[None]"),
    "extra trailing axis": (np.zeros((5, 2, 1), "f4"), POSE, 1, "an extra trailing dimension", "value.squeeze(-1)"),
    "array of one": (np.zeros(1, "f4"), TensorSpec((), "float32"), None, "one number in an array", "value.reshape(())"),
    "channels first": (np.zeros((4, 84, 96), "u1"), CAMERA, None, "channels first", TO_LAST),
    "channels first in a batch": (np.zeros((3, 4, 84, 96), "u1"), CAMERA, 1, "channels first", TO_LAST),
    "channels last": (np.zeros((84, 96, 4), "u1"), CHANNELS_FIRST, None, "channels last", TO_FIRST),
}


@pytest.mark.parametrize("case", SHAPES)
def test_wrong_shape_names_cause_and_a_fix_that_works(case):
    value, spec, outer_dims, cause, fix = SHAPES[case]
    text = message_of(value, spec, outer_dims)
    assert f"Likely cause: {cause}" in text
    assert text.partition("  Fix: ")[2] == (fix or "")
    repairs = {
        "value[0]": lambda x: x[0],
        "value[None]": lambda x: x[None],
        "value.squeeze(-1)": lambda x: x.squeeze(-1),
        "value.reshape(())": lambda x: x.reshape(()),
        TO_LAST: lambda x: numpy.moveaxis(x, -3, -1),
        TO_FIRST: lambda x: numpy.moveaxis(x, -1, -3),
    }
    if fix is not None:
        specs.check(repairs[fix](value), spec, outer_dims)


def test_wrong_shape_without_a_known_cause_offers_nothing():
    assert message_of(np.zeros(3, "f4"), POSE) == (
        "value does not match its spec\n  expected  float32 (2,) in [-1.0, 1.0]          got  float32 (3,)"
    )


def test_outer_axes_are_named_where_any_size_will_do():
    assert "expected  float32 (B, 2) in" in message_of(np.zeros((4, 4, 4, 4), "f4"), POSE, 1)
    assert "expected  float32 (B, T, 2) in" in message_of(np.zeros(3, "f4"), POSE, 2)
    assert "expected  float32 (B, T, ?, 2) in" in message_of(np.zeros(3, "f4"), POSE, 3)
    assert "expected  float32 (6, 2) in" in message_of(np.zeros((5, 2), "f4"), POSE, (6,))


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (np.zeros(2), POSE, 'NumPy makes float64 unless told otherwise.\n  Fix: value.astype("float32")'),
        (
            np.zeros((), int),
            TensorSpec((), "int32"),
            'NumPy makes int64 unless told otherwise.\n  Fix: value.astype("int32")',
        ),
        (np.zeros(2, "f2"), POSE, 'got  float16 (2,)\n  Fix: value.astype("float32")'),
        (np.zeros(2, bool), TensorSpec((2,), "int8"), 'Fix: value.astype("int8")'),
        (0.5, TensorSpec((), "float32"), "got  float64 ()"),
    ],
)
def test_wrong_dtype_names_cause_and_cast(value, spec, text):
    assert text in message_of(value, spec, kind=SpecTypeError)


def test_wrong_dtype_offers_no_cast_that_loses_meaning():
    text = message_of(np.zeros((84, 96, 4)), CAMERA, kind=SpecTypeError)
    assert "Fix" not in text
    assert "Fix" not in message_of(np.zeros(2, "f4"), TensorSpec((2,), "int32"), kind=SpecTypeError)
    assert "Fix" not in message_of(
        np.zeros((3, 2)), POSE, kind=SpecTypeError
    )  # a batch: no shape fix, so no half of one


def test_foreign_tensors_are_named():
    class Dtype:
        def __str__(self):
            return "torch.float32"

    class Tensor:
        shape, dtype = (2,), Dtype()

    text = message_of(Tensor(), POSE, kind=SpecTypeError)
    assert "got  torch.float32 (2,)\n  Likely cause: a PyTorch tensor.\n  Fix: value.numpy()" in text


def test_range_error_shows_at_most_three_values_with_their_places():
    value = np.array([[0, 1.7], [-3, 4], [5, 0]], np.float32)
    assert "got  float32 (3, 2), 4 of 6 values out of range: [0,1]=1.7, [1,0]=-3.0, [1,1]=4.0, ..." in message_of(
        value, POSE, 1
    )
    assert message_of(np.int32(4), BoundedTensorSpec((), "int32", 0, 3)).endswith(
        "expected  int32 () in [0, 3]          got  int32 (), 1 of 1 values out of range: 4"
    )


def test_range_error_says_when_the_value_is_nan():
    text = message_of(np.array([0, np.nan], np.float32), POSE)
    assert "1 of 2 values out of range: [1]=nan\n  Likely cause: NaN is outside every range." in text
    assert "Likely cause" not in message_of(np.array([0, np.inf], np.float32), POSE)


def test_range_of_many_bounds_is_summarised():
    spec = BoundedTensorSpec((6,), "int32", range(6), 9)
    assert "expected  int32 (6,) in [0..5 (6,), 9]" in message_of(np.full(6, 10, np.int32), spec)


def test_messages_stay_short_for_large_arrays():
    spec = BoundedTensorSpec((84, 96, 4), "uint8", 0, np.full((84, 96, 4), 3))
    text = message_of(np.full((64, 84, 96, 4), 200, np.uint8), spec, 1)
    assert len(text) < 400
    assert len(text.splitlines()) <= 12


def test_device_values_are_described_without_being_read():
    assert "got  float32 (3,)" in message_of(jnp.zeros(3), POSE)
