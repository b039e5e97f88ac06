"""add_outer_dims and the rest: shapes change, names and bounds stay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdaw import specs
from jaxdaw.errors import SpecError, SpecTypeError
from jaxdaw.specs import BoundedTensorSpec, TensorSpec

SIZES = st.lists(st.integers(1, 3), max_size=3).map(tuple)
NEST = {"a": BoundedTensorSpec((2,), "int32", [0, 1], 5, "x"), "b": (TensorSpec((), "float64", "y"),)}


@settings(max_examples=40, deadline=None)
@given(SIZES)
def test_remove_outer_dims_inverts_add_outer_dims(dims):
    widened = specs.add_outer_dims(NEST, dims)
    assert widened["a"].shape == (*dims, 2)
    assert specs.remove_outer_dims(widened, len(dims)) == NEST


def test_add_outer_dims_refuses_what_is_no_shape():
    with pytest.raises(SpecTypeError, match=r"dims is not a sequence\n  expected  a tuple of sizes .*\n  Fix: \(3,\)"):
        specs.add_outer_dims(NEST, 3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(SpecError, match="a size below 1"):
        specs.add_outer_dims(NEST, (0,))


def test_remove_outer_dims_refuses_more_axes_than_there_are():
    for n in (2, -1):
        with pytest.raises(SpecError, match=f"cannot remove {n} axes"):
            specs.remove_outer_dims(NEST["a"], n)


def test_remove_outer_dims_drops_axes_of_bounds_that_are_alike():
    spec = BoundedTensorSpec((3, 2), "float32", np.tile([0.0, 1.0], (3, 1)), 4)
    assert specs.remove_outer_dims(spec, 1) == BoundedTensorSpec((2,), "float32", [0, 1], 4)
    uneven = BoundedTensorSpec((3,), "float32", [0, 1, 2], 4)
    with pytest.raises(SpecError, match="bounds vary along an axis to remove"):
        specs.remove_outer_dims(uneven, 1)


def test_with_dtype_recasts_bounds_or_refuses():
    assert specs.with_dtype(NEST["a"], np.uint8) == BoundedTensorSpec((2,), "uint8", [0, 1], 5, "x")
    with pytest.raises(SpecError, match="outside uint8"):
        specs.with_dtype(BoundedTensorSpec((), "int32", -1, 1), np.uint8)
