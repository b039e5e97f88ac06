"""Specs with more or fewer axes, or another dtype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from jaxdaw.errors import SpecError, SpecTypeError
from jaxdaw.specs._nest import map_structure
from jaxdaw.specs._spec import BoundedTensorSpec, TensorSpec


def add_outer_dims(spec: Any, dims: Sequence[int]) -> Any:
    """Returns the nest of specs of shape `[*dims, *shape]`; bounds and names stay.

    Raises:
      SpecError: `dims` is no sequence of positive integers.

    >>> add_outer_dims(TensorSpec((2,), "float32"), (64, 10)).shape
    (64, 10, 2)
    """
    if not isinstance(dims, tuple | list):
        raise SpecTypeError("dims is not a sequence", expected="a tuple of sizes", got=repr(dims), fix=f"({dims},)")
    return map_structure(lambda leaf: _replace(leaf, (*dims, *leaf.shape)), spec)


def remove_outer_dims(spec: Any, n: int) -> Any:
    """Returns the nest of specs without the first `n` axes; bounds and names stay.

    Raises:
      SpecError: a spec has fewer axes, or bounds that vary along an axis to remove.

    >>> remove_outer_dims(TensorSpec((64, 10, 2), "float32"), 2).shape
    (2,)
    """

    def remove(leaf: TensorSpec) -> TensorSpec:
        if not 0 <= n <= len(leaf.shape):
            raise SpecError(f"cannot remove {n} axes", expected=f"a spec with at least {n}", got=repr(leaf))
        return _replace(leaf, leaf.shape[n:], lambda bound: _without_outer_axes(bound, len(leaf.shape) - n, leaf))

    return map_structure(remove, spec)


def with_dtype(spec: Any, dtype: DTypeLike) -> Any:
    """Returns the nest of specs with another dtype; bounds have to fit it.

    >>> with_dtype(BoundedTensorSpec((), "float32", 0, 1), "int32")
    BoundedTensorSpec(shape=(), dtype=int32, minimum=0, maximum=1, name=None)
    """
    return map_structure(lambda leaf: _replace(leaf, leaf.shape, dtype=dtype), spec)


def _replace(
    spec: TensorSpec, shape: tuple[int, ...], change_bound: Any = lambda bound: bound, dtype: Any = None
) -> TensorSpec:
    dtype = spec.dtype if dtype is None else dtype
    if not isinstance(spec, BoundedTensorSpec):
        return TensorSpec(shape, dtype, spec.name)
    return BoundedTensorSpec(shape, dtype, change_bound(spec.minimum), change_bound(spec.maximum), spec.name)


def _without_outer_axes(bound: np.ndarray, rank: int, spec: TensorSpec) -> np.ndarray:
    if bound.ndim <= rank:
        return bound
    rows = bound.reshape(-1, *bound.shape[bound.ndim - rank :])
    if not np.all(rows == rows[0]):
        raise SpecError("bounds vary along an axis to remove", expected="equal bounds in every row", got=repr(spec))
    return rows[0]
