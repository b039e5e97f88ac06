"""Outer axes: the batch and time axes that a value has in front of the axes of its spec."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxdaw.errors import SpecError
from jaxdaw.specs._mismatch import explain_leaf
from jaxdaw.specs._nest import assert_same_structure, flatten, flatten_with_path, location
from jaxdaw.specs._spec import has_dtype


def outer_shape(value: Any, spec: Any) -> tuple[int, ...]:
    """Returns the sizes of the outer axes: those of the first leaf, after a check that all leaves have as many.

    The sizes are not compared between leaves, and neither are dtypes; `check` does both. An empty nest has `()`.

    Args:
      value: a nest of arrays `[*outer, *spec.shape]`.
      spec: a nest of specs.

    Raises:
      SpecError: another structure; the last axes of a leaf are not those of its spec; leaves with and without batch
        axes.

    >>> from jaxdaw.specs import TensorSpec
    >>> outer_shape(np.zeros((5, 3, 2)), TensorSpec((2,), "float32"))
    (5, 3)
    """
    assert_same_structure(spec, value)
    found: tuple[int, ...] | None = None
    for (path, leaf_spec), leaf in zip(flatten_with_path(spec), flatten(value), strict=True):
        shape = np.shape(leaf)
        rank = len(shape) - len(leaf_spec.shape)
        if rank < 0 or shape[rank:] != leaf_spec.shape:
            raise explain_leaf(leaf, leaf_spec, ("...",), f"value does not match its spec{location(path)}")
        found = shape[:rank] if found is None else found
        if rank != len(found):
            raise SpecError(
                f"a mix of batched and unbatched leaves{location(path)}",
                expected=f"{len(found)} outer axes, as the first leaf has",
                got=f"{rank}",
            )
    return () if found is None else found


def is_batched(value: Any, spec: Any, num_outer_dims: int = 1) -> bool:
    """Returns whether every leaf has exactly `num_outer_dims` axes before those of its spec.

    Raises:
      SpecTypeError: a leaf has another dtype than its spec.
      SpecError: as in `outer_shape`.
    """
    assert_same_structure(spec, value)
    for (path, leaf_spec), leaf in zip(flatten_with_path(spec), flatten(value), strict=True):
        array = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
        if not has_dtype(array, leaf_spec):
            raise explain_leaf(array, leaf_spec, ("...",), f"value does not match its spec{location(path)}")
    return len(outer_shape(value, spec)) == num_outer_dims
