"""Bounds and faults of one leaf of demonstrations, found in one pass over pieces of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxdaw.data._report import Fault, places
from jaxdaw.specs import BoundedTensorSpec

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FOLDED = 64  # rows that are compared side by side: along few columns NumPy takes its time


def bounds_of(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the least and the greatest along the first axis of `[N, ...]`; NaN where one is. bfloat16 is float32."""
    exact = array.astype(bounds_dtype(array.dtype), copy=False)
    size = int(np.prod(array.shape[1:]))
    whole = len(exact) // _FOLDED * _FOLDED if size < _FOLDED else 0
    found = []
    for reduce in (np.min, np.max):
        pieces = [reduce(exact[whole:], axis=0)] if whole < len(exact) else []
        if whole:
            folded = reduce(exact[:whole].reshape(whole // _FOLDED, _FOLDED * size), axis=0)
            pieces.append(reduce(folded.reshape(_FOLDED, *array.shape[1:]), axis=0))
        found.append(reduce(np.stack(pieces), axis=0))
    return np.asarray(found[0]), np.asarray(found[1])


def bounds_dtype(dtype: np.dtype) -> np.dtype:
    """Returns the dtype of the bounds of a leaf: NumPy's format has none for bfloat16."""
    return np.dtype(np.float32) if dtype.kind == "V" else dtype


class LeafScan:
    """What was seen of one leaf.

    Args:
      what: the leaf in words: `observation['camera']`.
      spec: of one step; None for a reward.

    Attributes:
      low, high: of each number, so far; None before the first piece.
      rows: so far.
    """

    def __init__(self, what: str, spec: Any = None):
        self.what, self._spec = what, spec
        self.low: Any = None
        self.high: Any = None
        self.rows = 0
        self._not_finite, self._outside, self._too_large = _Sightings(), _Sightings(), _Sightings()

    def is_clean(self, low: np.ndarray, high: np.ndarray) -> bool:
        """Returns whether nothing is wrong with values of these bounds; they count as seen if so."""
        ends = np.stack([low, high])
        sound = True
        if ends.dtype.kind == "f":
            sound = bool(np.isfinite(ends).all() and np.abs(ends).max(initial=0) <= _FLOAT32_MAX)
        if sound and isinstance(self._spec, BoundedTensorSpec):
            sound = bool(np.all(low >= self._spec.minimum) and np.all(high <= self._spec.maximum))
        if sound:
            self._merge(low, high)
        return sound

    def look(self, array: np.ndarray, first: int, counts: np.ndarray) -> None:
        """Adds the rows of some episodes.

        Args:
          array: `[rows, ...]`.
          first: the number of the first of these episodes.
          counts: `[episodes]`, rows of each.
        """
        self.rows += len(array)
        low, high = bounds_of(array)
        if self.is_clean(low, high):
            return
        self._merge(low, high)
        exact = array.astype(np.float64) if array.dtype.kind == "V" else array
        finite = np.ones(exact.shape, bool)
        if exact.dtype.kind == "f":
            finite = np.isfinite(exact)
            self._not_finite.see(~finite, array, first, counts)
            if exact.dtype == np.float64:
                self._too_large.see(finite & (np.abs(exact) > _FLOAT32_MAX), array, first, counts)
        if isinstance(self._spec, BoundedTensorSpec):
            inside = (exact >= self._spec.minimum) & (exact <= self._spec.maximum)
            self._outside.see(finite & ~inside, array, first, counts)

    def _merge(self, low: np.ndarray, high: np.ndarray) -> None:
        self.low = low if self.low is None else np.minimum(self.low, low)
        self.high = high if self.high is None else np.maximum(self.high, high)

    def faults(self, fix_not_finite: str, fix_outside: str = "", *, is_error: bool = True) -> list[Fault]:
        """Returns what is wrong; `is_error` says whether values out of range are an error."""
        spec = self._spec
        bounds = f"{spec.minimum.min()} to {spec.maximum.max()}" if isinstance(spec, BoundedTensorSpec) else ""
        limit, fix = f"at most {_FLOAT32_MAX:.3g}", "scale it when recording"
        return [
            *self._not_finite.fault(f"{self.what} is not finite", "finite numbers", fix_not_finite),
            *self._outside.fault(f"{self.what} is out of range", bounds, fix_outside, is_error=is_error),
            *self._too_large.fault(f"{self.what} does not fit float32", limit, fix),
        ]

    def constant(self) -> list[Fault]:
        """Returns the fault of numbers that never change."""
        if self.rows < 2:
            return []
        still = np.argwhere(self.low == self.high)
        if not len(still):
            return []
        where = places([list(map(int, index)) for index in still], "column {}") if self.low.shape else ()
        fix = "leave the column out, if the environment never changes it either; else record more"
        got = f"{self.low[tuple(still[0])]} throughout"
        what = f"{self.what} never changes"
        return [Fault(what, len(still), where, "values that differ", got, fix, is_error=False)]


class _Sightings:
    """Counts values that are wrong, and keeps where the first were."""

    def __init__(self):
        self.count = 0
        self.rows: list[str] = []
        self.first: Any = None

    def see(self, wrong: np.ndarray, leaf: np.ndarray, first: int, counts: np.ndarray) -> None:
        """Adds the true entries of `wrong`, `[rows, ...]`; for `first` and `counts` see `LeafScan.look`."""
        found = int(wrong.sum())
        if not found:
            return
        if self.count == 0:
            self.first = leaf[tuple(np.argwhere(wrong)[0])]
        self.count += found
        ends = np.cumsum(counts)
        for row in np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))[: 3 - len(self.rows)]:
            episode = int(np.searchsorted(ends, row, side="right"))
            self.rows.append(f"episode {first + episode} step {row - (ends[episode] - counts[episode])}")

    def fault(self, what: str, expected: str, fix: str, *, is_error: bool = True) -> list[Fault]:
        """Returns the fault, if something was seen."""
        got = str(self.first)
        return [Fault(what, self.count, tuple(self.rows), expected, got, fix, is_error)] if self.count else []
