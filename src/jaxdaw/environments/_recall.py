"""Recall: a pure environment that only a policy with memory can solve."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.environments._episodic import EpisodicEnvironment, below


class RecallWorld(NamedTuple):
    """The cue to be remembered, and the steps since it was shown.

    Attributes:
      cue: `[]` int32.
      time: `[]` int32, steps since it was shown.
    """

    cue: jax.Array
    time: jax.Array


@dataclasses.dataclass(frozen=True)
class Recall(EpisodicEnvironment):
    """Name the cue that was shown at the start: reward 1 if right, 0 if wrong, once, at the end.

    The cue is shown at FIRST, `delay` blank steps follow, then the question; the answer to it terminates the episode
    after `delay + 2` actions. Earlier actions do nothing. No observation after FIRST depends on the cue, so a policy
    without memory returns `1 / cues` on average, whatever it does; one with memory can return 1.

    Observation: float32 `[cues + 1]`: the cue as one-hot at FIRST; the last element is 1 when the question is asked;
    else 0. Action: the cue.

    Args:
      cues: how many there are, at least 2.
      delay: blank steps between cue and question, at least 0.
      max_episode_steps: after which an episode is cut; None cuts never.

    Source: the memory length task of Osband et al. 2020, "Behaviour suite for reinforcement learning", where the reward
    is +-1.

    >>> state, time_step = Recall(cues=2).init(jax.random.key(0))
    >>> float(time_step.observation.sum())
    1.0
    """

    cues: int = 2
    delay: int = 5
    max_episode_steps: int | None = None
    random_words: ClassVar[int] = 1

    @property
    def observation_spec(self) -> specs.BoundedTensorSpec:
        """float32 `[cues + 1]`, 0 or 1."""
        return specs.BoundedTensorSpec((self.cues + 1,), np.float32, 0, 1, "observation")

    @property
    def action_spec(self) -> specs.BoundedTensorSpec:
        """int32, 0 to `cues - 1`."""
        return specs.BoundedTensorSpec((), np.int32, 0, self.cues - 1, "action")

    def start(self, words: jax.Array) -> RecallWorld:
        """Returns a random cue."""
        return RecallWorld(below(words[0], self.cues), jnp.zeros((), jnp.int32))

    def advance(self, world: RecallWorld, action: Any) -> tuple[RecallWorld, jax.Array, jax.Array]:
        """Returns the next step, and the reward if the question was asked."""
        asked = world.time == self.delay + 1
        reward = jnp.where(asked & (action == world.cue), 1.0, 0.0)
        return RecallWorld(world.cue, world.time + 1), reward, asked

    def observe(self, world: RecallWorld) -> jax.Array:
        """Returns the cue at first, the question at last, zeros between and after."""
        cue = (jnp.arange(self.cues) == world.cue) & (world.time == 0)
        return jnp.append(cue, world.time == self.delay + 1).astype(jnp.float32)
