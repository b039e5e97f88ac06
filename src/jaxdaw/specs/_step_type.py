"""StepType: the first, middle or last step of an episode."""

from __future__ import annotations

import enum
from typing import NoReturn

from jaxdaw.errors import SpecError


class StepType(enum.IntEnum):
    """Position of a step in its episode, an int32 in every stream.

    LAST says that the episode ended; whether it *terminated* is told by the discount (0) and not here.

    >>> StepType(2)
    <StepType.LAST: 2>
    """

    FIRST = 0
    MID = 1
    LAST = 2

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise SpecError("not a step type", expected="0 (FIRST), 1 (MID) or 2 (LAST)", got=repr(value))
