"""Clipping to bounds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.errors import SpecError
from jaxdaw.specs import BoundedTensorSpec, TensorSpec, clip_to_bounds

NEST = {
    "gear": BoundedTensorSpec((), np.int32, 0, 2),
    "wheel": BoundedTensorSpec((2,), np.float32, [-1, 0], [1, np.inf]),
    "free": TensorSpec((), np.float32),
}


def test_bounded_floats_are_clipped_and_everything_else_is_handed_on():
    given = {
        "gear": np.array([7]),
        "wheel": np.array([[-3, -0.5]], np.float32),
        "free": np.array([1e30], np.float32),
    }
    got = clip_to_bounds(given, NEST)
    np.testing.assert_array_equal(got["wheel"], np.array([[-1, 0]], np.float32))
    assert got["wheel"].dtype == np.float32
    assert got["gear"] is given["gear"]
    assert got["free"] is given["free"]


def test_jax_arrays_stay_on_the_device_and_numpy_on_the_host():
    spec = BoundedTensorSpec((), np.float32, -1, 1)
    assert isinstance(clip_to_bounds(np.float32([2]), spec), np.ndarray)
    assert isinstance(clip_to_bounds(jnp.float32([2]), spec), jax.Array)
    np.testing.assert_array_equal(jax.jit(lambda x: clip_to_bounds(x, spec))(jnp.array([2.0, -9.0])), [1, -1])
    assert np.isnan(clip_to_bounds(np.float32([np.nan]), spec)).all()


def test_another_structure_is_refused():
    with pytest.raises(SpecError):
        clip_to_bounds({"gear": 1}, NEST)
