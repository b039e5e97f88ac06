"""Shards: many episodes in one array for each leaf, the form of demonstrations in memory and on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.data.demonstrations._episode import Episode

TERMINATED, TRUNCATED, HAS_LAST = 1, 2, 4
"""Bits of what is known about an episode's end; HAS_LAST: the observation after its last action."""


@dataclasses.dataclass(frozen=True, eq=False)
class Shard:
    """Episodes one after the other.

    Attributes:
      observation: a nest of `[frames, ...]`: T + 1 or T frames of each episode.
      action: a nest of `[steps, ...]`.
      reward: `[steps]`, or None.
      lengths: `[episodes]` int64, T of each.
      flags: `[episodes]` uint8, bits of what is known about the end.
      info: one dictionary or None for each episode, or nothing at all.
      low, high: nests of what each number of an observation is at least and at most; NaN where one is. None: unknown.
    """

    observation: Any
    action: Any
    reward: np.ndarray | None
    lengths: np.ndarray
    flags: np.ndarray
    info: Sequence[Mapping[str, Any] | None] = ()
    low: Any = None
    high: Any = None

    @property
    def frames(self) -> np.ndarray:
        """`[episodes]` int64, the number of observations of each."""
        return self.lengths + ((self.flags & HAS_LAST) != 0)

    def episode(self, index: int, observation_start: int, start: int) -> Episode:
        """Returns views of one episode.

        Args:
          index: within the shard.
          observation_start: its first row in `observation`.
          start: its first row in `action` and `reward`.
        """
        flags, stop = int(self.flags[index]), start + int(self.lengths[index])
        frames = slice(observation_start, observation_start + stop - start + bool(flags & HAS_LAST))
        return Episode(
            specs.map_structure(lambda leaf: leaf[frames], self.observation),
            specs.map_structure(lambda leaf: leaf[start:stop], self.action),
            None if self.reward is None else self.reward[start:stop],
            terminated=bool(flags & TERMINATED),
            truncated=bool(flags & TRUNCATED),
            info=self.info[index] if self.info else None,
        )

    def run(self, places: slice, observation_start: int, start: int) -> Shard:
        """Returns views of consecutive episodes; the bounds are those of the whole shard.

        Args:
          places: of the episodes, within the shard.
          observation_start, start: as for `episode`, of the first.
        """
        lengths, flags = self.lengths[places], self.flags[places]
        steps = slice(start, start + int(lengths.sum()))
        frames = slice(observation_start, observation_start + int((lengths + ((flags & HAS_LAST) != 0)).sum()))
        return Shard(
            specs.map_structure(lambda leaf: leaf[frames], self.observation),
            specs.map_structure(lambda leaf: leaf[steps], self.action),
            None if self.reward is None else self.reward[steps],
            lengths,
            flags,
            self.info[places] if self.info else (),
            self.low,
            self.high,
        )


def flags_of(episode: Episode) -> int:
    """Returns the bits of an episode."""
    return (
        TERMINATED * bool(episode.terminated)
        + TRUNCATED * bool(episode.truncated)
        + HAS_LAST * episode.has_last_observation
    )


def pack(episodes: Sequence[Episode]) -> Shard:
    """Returns copies of sound episodes, at least one, in a shard."""

    def join(*leaves: Any) -> np.ndarray:
        return np.concatenate(leaves)

    info = [None if episode.info is None else dict(episode.info) for episode in episodes]
    return Shard(
        specs.map_structure(join, *(episode.observation for episode in episodes)),
        specs.map_structure(join, *(episode.action for episode in episodes)),
        None if episodes[0].reward is None else np.concatenate([np.asarray(episode.reward) for episode in episodes]),
        np.array([len(episode) for episode in episodes], np.int64),
        np.array([flags_of(episode) for episode in episodes], np.uint8),
        info if any(info) else (),
    )
