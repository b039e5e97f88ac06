"""Float values clipped to the bounds of their spec."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.specs._nest import map_structure
from jaxdaw.specs._spec import BoundedTensorSpec, TensorSpec, is_continuous


def clip_to_bounds(nest: Any, spec: Any) -> Any:
    """Returns the nest with the elements of bounded float leaves clipped to their bounds; other leaves are unchanged.

    JAX arrays and tracers stay on the device, anything else becomes a NumPy array. NaN stays NaN.

    Args:
      nest: arrays `[*outer_dims, *shape]`.
      spec: a nest of specs of the same structure.

    Raises:
      SpecError: another structure.

    >>> clip_to_bounds(np.array([-3.0, 0.5]), BoundedTensorSpec((2,), "float32", -1, 1)).tolist()
    [-1.0, 0.5]
    """
    return map_structure(_clip_leaf, nest, spec)


def _clip_leaf(value: Any, spec: TensorSpec) -> Any:
    if not (is_continuous(spec) and isinstance(spec, BoundedTensorSpec)):
        return value
    return (jnp if isinstance(value, jax.Array) else np).clip(value, spec.minimum, spec.maximum)
