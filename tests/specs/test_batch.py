"""outer_shape and is_batched: which axes are the batch's."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdaw import specs
from jaxdaw.errors import SpecError, SpecTypeError
from jaxdaw.specs import TensorSpec

SPEC = {"a": TensorSpec((2,), "float32"), "b": TensorSpec((), "int32")}
SIZES = st.lists(st.integers(1, 3), max_size=3).map(tuple)


@settings(max_examples=40, deadline=None)
@given(outer=SIZES, inner=SIZES, rank=st.integers(0, 4))
def test_outer_shape_is_what_zeros_were_given(outer, inner, rank):
    spec = (TensorSpec(inner, "float32"), TensorSpec((), "int32"))
    value = specs.zeros_numpy(spec, outer)
    assert specs.outer_shape(value, spec) == outer
    assert specs.is_batched(value, spec, rank) == (rank == len(outer))


def test_outer_shape_takes_scalars_and_empty_nests():
    assert specs.outer_shape({"a": jnp.zeros(2), "b": 3}, SPEC) == ()
    assert specs.outer_shape((), ()) == ()
    assert not specs.is_batched((), ())


def test_outer_shape_names_the_leaf_that_does_not_end_like_its_spec():
    with pytest.raises(
        SpecError,
        match=r"does not match its spec at \['a'\]\n  expected  float32 \(\.\.\., 2\) .*got  float32 \(4, 3\)",
    ):
        specs.outer_shape({"a": np.zeros((4, 3), np.float32), "b": np.zeros(4, np.int32)}, SPEC)


def test_outer_shape_refuses_a_mix():
    with pytest.raises(
        SpecError, match=r"a mix of batched and unbatched leaves at \['b'\]\n  expected  1 outer axes.*got  0"
    ):
        specs.outer_shape({"a": np.zeros((4, 2), np.float32), "b": np.int32(0)}, SPEC)


def test_outer_shape_refuses_another_structure():
    with pytest.raises(SpecError, match="another structure"):
        specs.outer_shape({"a": np.zeros(2)}, SPEC)


def test_is_batched_refuses_another_dtype_before_another_shape():
    with pytest.raises(SpecTypeError, match=r"does not match its spec at \['b'\]"):
        specs.is_batched({"a": np.zeros((4, 2), np.float32), "b": 0.5}, SPEC)
