"""Reads observations of a host environment: checks them against the spec, converts and copies them."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.environments import _faults
from jaxdaw.environments._faults import Fault


class ObservationReader:
    """Collects the observations of B rows in new arrays `[B, ...]`.

    Structure, shape and dtype are checked, numbers must be finite, and integers within their bounds (an index outside
    them would be clamped or wrapped without a word on the device). Bounds of floats are checked by
    `check_environment` only: they are often guesses, and a network does not depend on them.

    Args:
      spec: a nest of specs, of one row.
      batch_size: B.
    """

    def __init__(self, spec: Any, batch_size: int):
        self._spec = spec
        self._batch_size = batch_size
        self._bare = isinstance(spec, specs.TensorSpec)
        self._leaves = specs.flatten_with_path(spec)
        self._layout = [((batch_size, *leaf.shape), leaf.dtype) for _, leaf in self._leaves]
        self._shape, self._dtype = (spec.shape, spec.dtype) if self._bare else ((), None)
        self._floats = [i for i, (_, leaf) in enumerate(self._leaves) if leaf.dtype.kind == "f"]
        self._narrow = [i for i, (_, leaf) in enumerate(self._leaves) if _narrows(leaf)]

    def empty(self) -> list[np.ndarray]:
        """Returns fresh arrays, one a leaf, for `write`."""
        return [np.empty(shape, dtype) for shape, dtype in self._layout]

    def write(self, arrays: list[np.ndarray], row: int, observation: Any, source: str) -> Fault | None:
        """Copies one row's observation into `arrays`; returns what is wrong with it, if anything."""
        if self._bare:
            is_array = type(observation) is np.ndarray
            if not (is_array and observation.shape == self._shape and observation.dtype == self._dtype):
                for fault in _faults.observation(observation, self._spec, source):
                    return fault
            arrays[0][row] = observation
            return None
        for fault in _faults.observation(observation, self._spec, source):
            return fault
        for array, part in zip(arrays, specs.flatten(observation), strict=True):
            array[row] = part
        return None

    def copy(self, observation: Any, source: str) -> list[np.ndarray] | Fault:
        """Returns fresh arrays from a batch `[B, ...]`, or what is wrong with it."""
        if self._bare:
            parts = [observation]
        else:
            wrong = _faults.structure(observation, self._spec, source)
            if wrong is not None:
                return wrong
            parts = specs.flatten(observation)
        arrays = []
        for (path, _), (shape, dtype), part in zip(self._leaves, self._layout, parts, strict=True):
            array = np.array(part)
            if array.shape != shape or not _faults.castable(array.dtype, dtype):
                return Fault(
                    f"observation from {source} does not match its own space{_faults.at(path)}",
                    expected=f"{dtype} {shape}",
                    got=_faults.brief(array),
                )
            arrays.append(array if array.dtype == dtype else array.astype(dtype))
        return arrays

    def judge(self, arrays: list[np.ndarray], source: str) -> tuple[int, Fault] | None:
        """Returns the first row whose values are wrong, and what is wrong with them."""
        for i in self._floats:
            finite = np.isfinite(arrays[i])
            if np.count_nonzero(finite) != finite.size:  # four times faster than all()
                row = self._first_row(~finite)
                return row, _faults.not_finite(self._leaves[i][0], np.asarray(arrays[i][row]), source)
        for i in self._narrow:
            path, leaf = self._leaves[i]
            inside = (arrays[i] >= leaf.minimum) & (arrays[i] <= leaf.maximum)
            if np.count_nonzero(inside) != inside.size:
                row = self._first_row(~inside)
                return row, _faults.out_of_range(path, leaf, np.asarray(arrays[i][row]), source)
        return None

    def pack(self, arrays: list[np.ndarray]) -> Any:
        """Returns the nest `[B, ...]`."""
        return arrays[0] if self._bare else specs.pack_like(self._spec, arrays)

    def _first_row(self, wrong: np.ndarray) -> int:
        return int(np.argmax(wrong.reshape(self._batch_size, -1).any(axis=1)))


def _narrows(leaf: specs.TensorSpec) -> bool:
    """Whether the bounds of an integer leaf forbid anything that its dtype allows."""
    if leaf.dtype.kind not in "iu" or not isinstance(leaf, specs.BoundedTensorSpec):
        return False
    limits = np.iinfo(leaf.dtype.name)
    return bool(np.any(leaf.minimum > limits.min) or np.any(leaf.maximum < limits.max))
