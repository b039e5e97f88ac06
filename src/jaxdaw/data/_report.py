"""Reports of checks: each fault once, with its count, its first places and a fix."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxdaw.errors import SpecError, explain

_MAX_PLACES = 3


@dataclasses.dataclass(frozen=True)
class Fault:
    """One thing that is wrong, or that is rarely meant.

    Attributes:
      what: one line, which names the leaf.
      count: how often it was seen.
      places: where, the first three.
      expected, got, fix: as in every message.
      is_error: False for a warning: training works, and perhaps not as meant.
    """

    what: str
    count: int = 1
    places: tuple[str, ...] = ()
    expected: str | None = None
    got: str | None = None
    fix: str | None = None
    is_error: bool = True

    @property
    def text(self) -> str:
        """What, how often, where first, and the fix, in a few lines."""
        where = ", ".join(self.places) + (", ..." if self.count > len(self.places) > 0 else "")
        headline = f"{self.what}: {self.count:,} times" if self.count > 1 else self.what
        what = f"{headline}, {'first ' if self.count > 1 else 'at '}{where}" if where else headline
        return explain(what, expected=self.expected, got=self.got, fix=self.fix)


class Report(NamedTuple):
    """Everything that a check has found.

    Attributes:
      errors: what makes training fail, or learn something else than what was recorded.
      warnings: what is legal and rarely meant.
    """

    errors: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()

    @classmethod
    def of(cls, faults: Sequence[Fault]) -> Report:
        """Returns the report of a list of faults."""
        return cls(
            tuple(fault for fault in faults if fault.is_error), tuple(fault for fault in faults if not fault.is_error)
        )

    def __str__(self) -> str:
        """Returns all texts, errors first, each warning behind `warning: `."""
        texts = [fault.text for fault in self.errors] + [f"warning: {fault.text}" for fault in self.warnings]
        return "\n\n".join(texts) if texts else "no faults"

    def raise_if_faulty(self, what: str = "the demonstrations") -> None:
        """Raises if there is an error; warnings are told along with it, and alone raise nothing.

        Args:
          what: names the demonstrations in the message, such as the file they came from.

        Raises:
          SpecError: lists all faults.
        """
        if self.errors:
            many = "1 fault" if len(self.errors) == 1 else f"{len(self.errors)} faults"
            raise SpecError(f"{what} have {many}\n\n{self}")


def places(found: Sequence[Any], text: str = "episode {}") -> tuple[str, ...]:
    """Returns the first few places in words."""
    return tuple(text.format(place) for place in list(found)[:_MAX_PLACES])
