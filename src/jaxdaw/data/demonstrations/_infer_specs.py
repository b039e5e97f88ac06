"""Specs inferred from recorded arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.specs import BoundedTensorSpec, TensorSpec


def infer_spec(episodes: list[Any]) -> Any:
    """Returns the nest of specs of nests `[T, ...]`: shapes and dtypes of the first.

    What was seen is no bound: nothing says that a float or an observation stays within it.
    """
    return specs.map_structure(lambda leaf: TensorSpec(np.shape(leaf)[1:], np.asarray(leaf).dtype), episodes[0])


def infer_action_spec(episodes: list[Any]) -> Any:
    """Returns the nest of specs of actions `[T, ...]`: integers run from 0 to the greatest seen."""
    spec = infer_spec(episodes)
    columns = zip(*(specs.flatten(nest) for nest in episodes), strict=True)
    leaves = [_counted(leaf, column) for leaf, column in zip(specs.flatten(spec), columns, strict=True)]
    return specs.pack_like(spec, leaves)


def _counted(spec: TensorSpec, column: tuple[Any, ...]) -> TensorSpec:
    filled = [np.asarray(array) for array in column if np.size(array)]
    if not specs.is_discrete(spec) or not filled:
        return spec
    low, high = min(int(array.min()) for array in filled), max(int(array.max()) for array in filled)
    return BoundedTensorSpec(spec.shape, spec.dtype, min(low, 0), max(high, 0))
