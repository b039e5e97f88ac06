"""Reads actions for a host environment: checks and converts them, copies them, and clips bounded floats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.environments._faults import brief, castable
from jaxdaw.errors import SpecError, SpecTypeError, explain


class ActionReader:
    """Reads the actions of B rows.

    Args:
      spec: a nest of specs, of one row.
      batch_size: B.
      declared: the environment's own spec, where `spec` is a narrower one (float64 spaces); None is `spec`.
    """

    def __init__(self, spec: Any, batch_size: int, declared: Any = None):
        self._spec = spec
        self._bare = isinstance(spec, specs.TensorSpec)
        pairs = zip(specs.flatten_with_path(spec), specs.flatten(spec if declared is None else declared), strict=True)
        self._leaves = [_Leaf(path, leaf, wider, batch_size) for (path, leaf), wider in pairs]

    def read(self, action: Any, ended: Sequence[bool] | np.ndarray) -> Any:
        """Returns new arrays `[B, ...]` of the environment's dtypes, which the environment may modify.

        Args:
          action: a nest of `[B, ...]`.
          ended: `[B]`, rows whose action means nothing; they get a legal one.

        Raises:
          SpecError: structure, shape, an integer out of range, or a float that is not finite.
          SpecTypeError: a dtype that cannot be converted without loss.
        """
        if self._bare:
            return self._leaves[0].read(action, ended)
        specs.assert_same_structure(self._spec, action, what="action")
        arrays = [leaf.read(part, ended) for leaf, part in zip(self._leaves, specs.flatten(action), strict=True)]
        return specs.pack_like(self._spec, arrays)


class _Leaf:
    def __init__(self, path: str, spec: specs.TensorSpec, declared: specs.TensorSpec, batch_size: int):
        self._path, self._spec, self._declared = path, spec, declared
        self._dtype, self._shape = spec.dtype, (batch_size, *spec.shape)
        self._safe = {given for given in map(np.dtype, np.typecodes["AllInteger"]) if np.can_cast(given, self._dtype)}
        self._low, self._high = _finite_bounds(spec)

    def read(self, action: Any, ended: Sequence[bool] | np.ndarray) -> np.ndarray:
        array = np.array(action)
        if array.shape != self._shape:
            fix = "one action for each of the rows: np.asarray([action])"
            raise SpecError(self._explain("has another shape than action_spec", str(self._shape), brief(array), fix))
        if array.dtype != self._dtype:
            array = array.astype(self._dtype) if array.dtype in self._safe else self._converted(array)
        inside = (array >= self._low) & (array <= self._high)
        if np.count_nonzero(inside) != inside.size:
            if self._dtype.kind == "f":
                inside = np.isfinite(array)
            inside = inside.reshape(self._shape[0], -1).all(axis=1)
            wrong = ~inside & ~np.asarray(ended)
            if wrong.any():
                raise SpecError(self._out_of_range(array, int(np.argmax(wrong))))
            if self._dtype.kind == "f":
                array = np.clip(array, self._low, self._high)
            array[~inside] = self._low
        return array if self._declared.dtype == self._dtype else self._widened(array)

    def _converted(self, array: np.ndarray) -> np.ndarray:
        if not castable(array.dtype, self._dtype):
            fix = f"action.astype(np.{self._dtype})"
            raise SpecTypeError(
                self._explain("has another dtype than action_spec", str(self._dtype), brief(array), fix)
            )
        with np.errstate(over="ignore"):  # values that overflow become infinite, which is checked below
            converted = array.astype(self._dtype)
        if self._dtype.kind in "iu":
            wrapped = (converted != array).reshape(self._shape[0], -1).any(axis=1)
            if wrapped.any():
                raise SpecError(self._out_of_range(array, int(np.argmax(wrapped))))
        return converted

    def _widened(self, array: np.ndarray) -> np.ndarray:
        array = array.astype(self._declared.dtype)
        if not isinstance(self._declared, specs.BoundedTensorSpec):
            return array
        # A float32 bound may lie a rounding error outside the float64 bound that it came from.
        return np.clip(array, self._declared.minimum, self._declared.maximum)

    def _out_of_range(self, array: np.ndarray, row: int) -> str:
        low, high = (np.broadcast_to(bound, self._spec.shape) for bound in (self._low, self._high))
        outside = ~((array[row] >= low) & (array[row] <= high))
        return self._explain(
            f"is out of range in row {row}",
            f"{low[outside].flat[0]} to {high[outside].flat[0]}",
            str(array[row][outside].flat[0]),
            "policy specs are the environment's: Policy(environment.time_step_spec(), environment.action_spec)",
        )

    def _explain(self, what: str, expected: str, got: str, fix: str) -> str:
        at = f" at {self._path}" if self._path else ""
        return explain(f"action{at} {what}", expected=expected, got=got, fix=fix)


def _finite_bounds(spec: specs.TensorSpec) -> tuple[np.ndarray, np.ndarray]:
    """Returns the least and the greatest action; an unbounded float is still no infinity and no NaN."""
    if spec.dtype.kind == "b":
        return np.asarray(False), np.asarray(True)
    limits = np.finfo(spec.dtype.name) if spec.dtype.kind == "f" else np.iinfo(spec.dtype.name)
    least, greatest = np.asarray(limits.min, spec.dtype), np.asarray(limits.max, spec.dtype)
    if not isinstance(spec, specs.BoundedTensorSpec):
        return least, greatest
    return np.maximum(spec.minimum, least), np.minimum(spec.maximum, greatest)
