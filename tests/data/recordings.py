"""Episodes whose every number says where it comes from."""

from __future__ import annotations

import numpy as np

from jaxdaw.data import Episode
from jaxdaw.specs import BoundedTensorSpec, TensorSpec

OBSERVATION_SPEC = TensorSpec((2,), np.float32)
ACTION_SPEC = BoundedTensorSpec((), np.int64, 0, 2)
LENGTHS = (3, 1, 4, 2)


def episode(index: int, length: int, last: bool = True, reward: bool = True, **ending: bool) -> Episode:
    """Returns an episode: observation `[index, t]`, action `t % 3`, reward `10 * index + t`."""
    frames = length + last
    observation = np.stack([np.full(frames, index), np.arange(frames)], axis=-1).astype(np.float32)
    steps = np.arange(length)
    rewards = (10 * index + steps).astype(np.float32) if reward else None
    return Episode(observation, steps % 3, rewards, info={"seed": index}, **ending)


def episodes(lengths: tuple[int, ...] = LENGTHS) -> list[Episode]:
    """Returns episodes that end in turn by termination, by truncation and unknown."""
    endings = ({"terminated": True}, {"truncated": True}, {})
    return [episode(index, length, **endings[index % 3]) for index, length in enumerate(lengths)]
