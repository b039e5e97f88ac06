"""Specs from and to the spaces of Gymnasium, and from the specs of dm_env."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxdaw.errors import SpecError, explain
from jaxdaw.specs._nest import map_structure
from jaxdaw.specs._spec import BoundedTensorSpec, TensorSpec, extremes

_SUPPORTED = "Box, Discrete, MultiDiscrete, MultiBinary, Dict, Tuple"


def from_gymnasium(space: Any) -> Any:
    """Returns the spec nest of a Gymnasium space.

    Discrete spaces keep their start as the minimum; Dict becomes a dict and Tuple a tuple.

    Raises:
      SpecError: a space of another kind (Text, Graph, Sequence, OneOf).

    >>> import gymnasium
    >>> from_gymnasium(gymnasium.spaces.Discrete(3, start=-1))
    BoundedTensorSpec((), int64, minimum=-1, maximum=1)
    """
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return {key: from_gymnasium(child) for key, child in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(from_gymnasium(child) for child in space.spaces)
    if isinstance(space, spaces.Discrete):
        return BoundedTensorSpec((), space.dtype, space.start, space.start + space.n - 1)
    if isinstance(space, spaces.MultiDiscrete):
        return BoundedTensorSpec(space.shape, space.dtype, space.start, space.start + space.nvec - 1)
    if isinstance(space, spaces.MultiBinary):
        return BoundedTensorSpec(space.shape, space.dtype, 0, 1)
    if isinstance(space, spaces.Box):
        return BoundedTensorSpec(space.shape, space.dtype, _scalar_if_equal(space.low), _scalar_if_equal(space.high))
    raise SpecError(
        explain(
            "unsupported space", expected=_SUPPORTED, got=type(space).__name__, fix="gymnasium.wrappers.TransformObservation"
        )
    )


def to_gymnasium(spec: Any) -> Any:
    """Returns the Gymnasium space of a spec nest.

    A bounded integer scalar becomes Discrete, other integers and all floats Box; a leaf without bounds takes those of its
    dtype.

    Raises:
      SpecError: a leaf that is not a spec, or a list (Gymnasium has dictionaries and tuples).
    """
    from gymnasium import spaces

    if isinstance(spec, dict):
        return spaces.Dict({key: to_gymnasium(child) for key, child in spec.items()})
    if isinstance(spec, tuple):
        return spaces.Tuple([to_gymnasium(child) for child in spec])
    if not isinstance(spec, TensorSpec):
        raise SpecError(explain("no space for this", expected="a nest of specs in dicts and tuples", got=type(spec).__name__))
    if isinstance(spec, BoundedTensorSpec):
        low, high = (np.broadcast_to(bound, spec.shape) for bound in (spec.minimum, spec.maximum))
        if spec.shape == () and spec.dtype.kind in "iu":
            count = int(spec.maximum) - int(spec.minimum) + 1
            return spaces.Discrete(count, start=int(spec.minimum), dtype=spec.dtype.type)
    elif spec.dtype.kind == "f":
        low, high = -np.inf, np.inf
    else:
        low, high = extremes(spec.dtype)
    if spec.dtype.kind == "b":
        return spaces.MultiBinary(spec.shape or 1)
    return spaces.Box(low, high, spec.shape, spec.dtype.type)


def from_dm_env(spec: Any) -> Any:
    """Returns the spec nest of a nest of `dm_env.specs`.

    Raises:
      SpecError: a StringArray, or something that is not a dm_env spec.
    """
    from dm_env import specs as dm_specs

    def convert(leaf: Any) -> TensorSpec:
        if isinstance(leaf, dm_specs.BoundedArray):
            low, high = _scalar_if_equal(leaf.minimum), _scalar_if_equal(leaf.maximum)
            return BoundedTensorSpec(leaf.shape, leaf.dtype, low, high, leaf.name)
        if isinstance(leaf, dm_specs.Array) and not isinstance(leaf, dm_specs.StringArray):
            return TensorSpec(leaf.shape, leaf.dtype, leaf.name)
        raise SpecError(
            explain("unsupported dm_env spec", expected="Array, BoundedArray or DiscreteArray", got=type(leaf).__name__)
        )

    return map_structure(convert, spec)


def _scalar_if_equal(bound: Any) -> np.ndarray:
    """Returns a bound as one number where all its entries are the same."""
    bound = np.asarray(bound)
    return bound.reshape(-1)[0] if bound.size and (bound == bound.reshape(-1)[0]).all() else bound
