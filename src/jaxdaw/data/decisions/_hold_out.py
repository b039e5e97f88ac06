"""hold_out: parts a log into what is learned from and what a policy is judged by."""

from __future__ import annotations

import numpy as np

from jaxdaw.data.decisions._decisions import Decisions
from jaxdaw.errors import ConfigError


def hold_out(decisions: Decisions, share: float, seed: int = 0, *, by_time: bool = True) -> tuple[Decisions, Decisions]:
    """Returns the decisions to learn from, and those to judge by: the latest, as those of the future will be.

    Where a time is missing, or all are the same, they are drawn at random.

    Args:
      decisions: the log.
      share: of the decisions that are held out, in `[0, 1)`.
      seed: of the random draw.
      by_time: False always draws at random.

    Raises:
      ConfigError: a share outside its range.

    >>> decisions = Decisions(action=[0, 1, 0, 1], time=[40.0, 10.0, 20.0, 30.0])
    >>> [part.time.tolist() for part in hold_out(decisions, 0.25)]
    [[10.0, 20.0, 30.0], [40.0]]
    """
    if not 0.0 <= share < 1.0:
        raise ConfigError("share is outside its range", expected="[0, 1)", got=str(share))
    time = decisions.time
    if by_time and time is not None and time.size and np.isfinite(time).all() and np.ptp(time) > 0.0:
        rank = np.empty(len(time), np.int64)
        rank[np.argsort(time, kind="stable")] = np.arange(len(time))
        is_held = rank >= len(time) - round(share * len(time))
    else:
        is_held = np.random.default_rng(seed).random(len(decisions)) < share
    return decisions.select(~is_held), decisions.select(is_held)
