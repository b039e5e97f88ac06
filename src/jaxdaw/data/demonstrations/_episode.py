"""Episode: the observations, actions and rewards of one recorded episode."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxdaw import specs


@dataclasses.dataclass(frozen=True, eq=False)
class Episode:
    """One recorded episode of T actions. Nothing is checked here: `check` and `Demonstrations` do.

    How it ended is told by two flags. An episode whose end is unknown, because the recording does not say or was cut
    from a longer one, is neither `terminated` nor `truncated`, and is bootstrapped through like a truncated one.

    Attributes:
      observation: a nest of `[T + 1, ...]`, the one after the last action included, or of `[T, ...]` where that one is
        not known.
      action: a nest of `[T, ...]`.
      reward: `[T]`, `reward[t]` is what `action[t]` brought; None where none was recorded.
      terminated: whether the world ended it: there is nothing beyond to bootstrap from.
      truncated: whether a time limit or the recorder ended it.
      info: JSON scalars by name, such as a seed or the file it came from; None for nothing.

    >>> len(Episode(np.zeros((4, 2)), np.array([0, 1, 1]), terminated=True))
    3
    """

    observation: Any
    action: Any
    reward: np.ndarray | None = None
    terminated: bool = False
    truncated: bool = False
    info: Mapping[str, Any] | None = None

    def __len__(self) -> int:
        """Returns T, the number of actions."""
        return len(specs.flatten(self.action)[0])

    @property
    def has_last_observation(self) -> bool:
        """Whether the observation after the last action is known."""
        return len(specs.flatten(self.observation)[0]) == len(self) + 1
