"""Collects the findings of check_environment: each once, with its count and the first place."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxdaw import specs
from jaxdaw.environments._faults import Fault


class _Entry(NamedTuple):
    fault: Fault
    first: Any
    seen: int
    note: bool


class Report:
    """Collects faults, which break the contract, and notes, which only surprise."""

    def __init__(self):
        self._entries: dict[str, _Entry] = {}
        self._told: list[str] = []

    def fault(self, fault: Fault | None, place: Any) -> bool:
        """Counts a fault, if there is one; returns whether there is."""
        return self._count(fault, place, note=False)

    def note(self, fault: Fault | None, place: Any) -> bool:
        """Counts a note, if there is one; returns whether there is."""
        return self._count(fault, place, note=True)

    def tell(self, error: Exception) -> None:
        """Adds a fault that was raised, and so has its whole text already."""
        self._told.append(str(error))

    def _count(self, fault: Fault | None, place: Any, note: bool) -> bool:
        if fault is None:
            return False
        kept = self._entries.get(fault.what)
        new = _Entry(fault, place, 1, note)
        self._entries[fault.what] = new if kept is None else kept._replace(seen=kept.seen + 1)
        return True

    @property
    def sound(self) -> bool:
        """Whether nothing but notes was found."""
        return not self._told and all(entry.note for entry in self._entries.values())

    def texts(self) -> list[str]:
        """Returns one text for each thing found: faults first, then notes, which begin with `note: `."""
        faults = [self._text(entry) for entry in self._entries.values() if not entry.note]
        return self._told + faults + ["note: " + self._text(entry) for entry in self._entries.values() if entry.note]

    @staticmethod
    def _text(entry: _Entry) -> str:
        return entry.fault.message(entry.first if entry.seen == 1 else f"{entry.seen} times, first {entry.first}")


@contextlib.contextmanager
def surroundings(report: Report) -> Iterator[None]:
    """Notes side effects of an environment: printing, and drawing from NumPy's global generator."""
    before = np.random.get_state(legacy=False)  # noqa: NPY002  to see whether the environment uses it
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        yield
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    if lines := printed.getvalue().splitlines():
        fix = "logging.getLogger(__name__).debug(...)"
        got = f"{len(lines)} lines, first {lines[0][:60]!r}"
        report.note(Fault("the environment prints", got=got, fix=fix), "during the check")
    if not all(np.array_equal(before["state"][part], after["state"][part]) for part in ("key", "pos")):
        fault = Fault(
            "the environment draws from NumPy's global generator",
            cause="numpy.random.uniform() and the like: seeds do not reach it, and rows share it.",
            fix="super().reset(seed=seed), then self.np_random.uniform()",
        )
        report.note(fault, "during the check")


def same(one: Any, other: Any) -> bool:
    """Whether two nests hold the same numbers; NaN equals NaN."""
    pairs = zip(specs.flatten(one), specs.flatten(other), strict=False)
    return all(np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f") for a, b in pairs)


def copied(nest: Any) -> Any:
    """Returns a nest of fresh arrays."""
    return specs.map_structure(lambda leaf: np.array(leaf), nest)


def not_reproducible(name: str, index: int) -> Fault:
    """Returns the note that a seed does not fix the stream."""
    return Fault(
        f"{name} is not deterministic: the same seed and actions gave another stream",
        got=f"a difference at step {index}",
        cause="reset(seed=seed) that does not seed, the clock, or threads.",
        fix="super().reset(seed=seed), then self.np_random for every draw",
    )


def changed_later(name: str) -> Fault:
    """Returns the fault of writing into an array that was handed out."""
    return Fault(
        f"{name} writes into an observation that it has returned",
        expected="arrays that stay as they were returned",
        got="another content after the next call",
        cause="the same array is returned at every step; jaxdaw copies it, but other code stores it.",
        fix="return self._observation.copy(), ...",
    )


def never_ends(name: str, steps: int) -> Fault:
    """Returns the note that no episode ended."""
    return Fault(
        f"no episode of {name} ended",
        expected=f"terminated or truncated within {steps} steps of random actions",
        got="neither",
        fix="gymnasium.wrappers.TimeLimit(env, max_episode_steps=1000)",
    )
