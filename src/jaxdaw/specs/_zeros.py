"""Zeros that match a spec, and `jax.ShapeDtypeStruct` of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.specs._nest import map_structure
from jaxdaw.specs._spec import device_dtype


def zeros(spec: Any, outer_dims: Sequence[int] = ()) -> Any:
    """Returns a nest of JAX zeros `[*outer_dims, *shape]`, whatever the bounds."""
    return map_structure(lambda leaf: jnp.zeros((*outer_dims, *leaf.shape), device_dtype(leaf)), spec)


def zeros_numpy(spec: Any, outer_dims: Sequence[int] = ()) -> Any:
    """Returns a nest of NumPy zeros `[*outer_dims, *shape]` of the specs' own dtypes, whatever the bounds."""
    return map_structure(lambda leaf: np.zeros((*outer_dims, *leaf.shape), leaf.dtype), spec)


def to_shape_dtype_struct(spec: Any, outer_dims: Sequence[int] = ()) -> Any:
    """Returns the nest of `jax.ShapeDtypeStruct` of values `[*outer_dims, *shape]` as they are on the device.

    >>> from jaxdaw.specs import TensorSpec
    >>> to_shape_dtype_struct(TensorSpec((2,), "float32"), (64,))
    ShapeDtypeStruct(shape=(64, 2), dtype=float32)
    """
    return map_structure(lambda leaf: jax.ShapeDtypeStruct((*outer_dims, *leaf.shape), device_dtype(leaf)), spec)
