"""Conversions between specs and Gymnasium spaces, and from dm_env specs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxdaw.errors import SpecError, SpecTypeError
from jaxdaw.specs._nest import location, map_with_path
from jaxdaw.specs._spec import BoundedTensorSpec, TensorSpec, extremes, is_continuous, is_discrete


def from_gymnasium(space: Any) -> Any:
    """Returns the nest of bounded specs of a Gymnasium space.

    Supported are Box (infinite bounds too), Discrete and MultiDiscrete with any start and shape, MultiBinary, and Dict
    and Tuple of them. The dtype is the space's own; leaves have no name.

    Raises:
      SpecError: a space of another kind (Text, Graph, Sequence, OneOf), with an empty axis, or with bounds that JAX
        cannot hold.

    >>> import gymnasium
    >>> from_gymnasium(gymnasium.spaces.Discrete(3, start=-1))
    BoundedTensorSpec(shape=(), dtype=int64, minimum=-1, maximum=1, name=None)
    """
    return _from_space(space, "")


def to_gymnasium(spec: Any) -> Any:
    """Returns the Gymnasium space that holds the values of a nest of specs.

    A bounded integer scalar becomes Discrete, a bounded int64 array MultiDiscrete, an int8 array of 0 and 1 MultiBinary
    and everything else Box; mappings become Dict, all other containers Tuple. So `from_gymnasium` gives equal specs
    back (bounded, without names), though a space may come back as another that holds the same values.

    Raises:
      SpecTypeError: a leaf that is no spec, or of bfloat16, which Gymnasium lacks.

    >>> to_gymnasium({"speed": BoundedTensorSpec((), "float32", 0, 1), "gear": BoundedTensorSpec((), "int64", 1, 5)})
    Dict('gear': Discrete(5, start=1), 'speed': Box(0.0, 1.0, (), float32))
    """
    from gymnasium import spaces

    if isinstance(spec, Mapping):
        return spaces.Dict({key: to_gymnasium(child) for key, child in spec.items()})
    if isinstance(spec, tuple | list):
        return spaces.Tuple([to_gymnasium(child) for child in spec])
    return _to_space(spec)


def from_dm_env(spec: Any) -> Any:
    """Returns the nest of specs of a nest of `dm_env.specs`: Array, BoundedArray and DiscreteArray; names are kept.

    Raises:
      SpecError: a StringArray, a shape with an empty axis, or something that is no dm_env spec.
    """
    from dm_env import specs as dm_specs

    def convert(path: str, leaf: Any) -> TensorSpec:
        if isinstance(leaf, dm_specs.BoundedArray):
            return _bounded(path, leaf.shape, leaf.dtype, leaf.minimum, leaf.maximum, leaf.name)
        if isinstance(leaf, dm_specs.Array) and not isinstance(leaf, dm_specs.StringArray):
            return TensorSpec(leaf.shape, leaf.dtype, leaf.name)
        expected = "Array, BoundedArray or DiscreteArray of dm_env.specs"
        raise SpecError(f"unsupported spec{location(path)}", expected=expected, got=type(leaf).__name__)

    return map_with_path(convert, spec)


def _from_space(space: Any, path: str) -> Any:
    from gymnasium import spaces

    match space:
        case spaces.Dict():
            return {key: _from_space(child, f"{path}[{key!r}]") for key, child in space.spaces.items()}
        case spaces.Tuple():
            return tuple(_from_space(child, f"{path}[{index}]") for index, child in enumerate(space.spaces))
        case spaces.Box():
            return _bounded(path, space.shape, space.dtype, space.low, space.high)
        case spaces.Discrete():
            return _bounded(path, (), space.dtype, int(space.start), int(space.start) + int(space.n) - 1)
        case spaces.MultiDiscrete():
            return _bounded(path, space.shape, space.dtype, space.start, space.start + (space.nvec - 1))
        case spaces.MultiBinary():
            return _bounded(path, space.shape, space.dtype, 0, 1)
    raise SpecError(
        f"unsupported space{location(path)}",
        expected="Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple",
        got=type(space).__name__,
        fix="gymnasium.wrappers.TransformObservation(env, function, space) to one of these",
    )


def _bounded(
    path: str, shape: Any, dtype: Any, minimum: Any, maximum: Any, name: str | None = None
) -> BoundedTensorSpec:
    """Returns the spec, with bounds that are the same everywhere held as one number."""
    try:
        return BoundedTensorSpec(shape, dtype, _collapse(minimum), _collapse(maximum), name)
    except SpecError as error:
        raise type(error)(f"no spec for the space{location(path)}: {error}") from None


def _collapse(bound: Any) -> np.ndarray:
    values = np.asarray(bound)
    return values.flat[0] if values.size and np.all(values == values.flat[0]) else values


def _to_space(spec: Any) -> Any:
    from gymnasium import spaces

    if not isinstance(spec, TensorSpec) or spec.dtype.kind not in "biuf":
        raise SpecTypeError(
            "no space for this leaf", expected="a spec of bool, an integer or a NumPy float", got=repr(spec)
        )
    bounds = (spec.minimum, spec.maximum) if isinstance(spec, BoundedTensorSpec) else _widest(spec)
    low, high = (np.broadcast_to(np.asarray(bound, spec.dtype), spec.shape) for bound in bounds)
    if isinstance(spec, BoundedTensorSpec) and is_discrete(spec):
        counts = high.astype(object) - low.astype(object) + 1  # Python integers cannot overflow
        is_countable = np.all(counts <= np.iinfo(spec.dtype).max)  # Gymnasium holds counts in the dtype of the space
        if spec.shape == () and is_countable:
            return spaces.Discrete(int(counts), start=int(low), dtype=spec.dtype.type)
        if spec.dtype == np.int8 and spec.shape != () and np.all(low == 0) and np.all(high == 1):
            return spaces.MultiBinary(spec.shape[0] if len(spec.shape) == 1 else spec.shape)
        if spec.dtype == np.int64 and is_countable:
            return spaces.MultiDiscrete(np.asarray(counts, np.int64), start=low)
    return spaces.Box(low, high, spec.shape, spec.dtype.type)


def _widest(spec: TensorSpec) -> tuple[Any, Any]:
    return (-np.inf, np.inf) if is_continuous(spec) else extremes(spec.dtype)
