"""EpisodicEnvironment: base class of pure environments; it handles resets, time limits and randomness."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.environments._base import JaxEnvironment
from jaxdaw.trajectories import StepType, TimeStep


class EpisodeState(NamedTuple):
    """The state of an EpisodicEnvironment.

    Attributes:
      world: what `start` and `advance` returned.
      words: `[2]` uint32, the key of all starts to come.
      episode: `[]` uint32, counted from 0; modulo 2**32.
      time: `[]` int32, actions taken in this episode.
      ended: `[]` bool, whether the last step was LAST.
    """

    world: Any
    words: jax.Array
    episode: jax.Array
    time: jax.Array
    ended: jax.Array


class EpisodicEnvironment(JaxEnvironment):
    """A pure environment whose randomness is all in how an episode starts.

    A subclass is a frozen dataclass that says how a world starts, moves and looks:

    ```python
    @dataclasses.dataclass(frozen=True)
    class Walk(EpisodicEnvironment):
        length: int = 5
        max_episode_steps: int | None = 100
        random_words = 1

        observation_spec = property(lambda self: specs.BoundedTensorSpec((), np.float32, 0, self.length))
        action_spec = property(lambda self: specs.BoundedTensorSpec((), np.int32, 0, 1))

        def start(self, words): return (words[0] % self.length).astype(jnp.int32)
        def advance(self, world, action):
            world = jnp.maximum(world + 2 * action - 1, 0)
            return world, -1.0, world == self.length
        def observe(self, world): return world.astype(jnp.float32)
    ```

    Attributes:
      max_episode_steps: actions after which an episode is cut: LAST with discount 1; None cuts never.
      random_words: how many words `start` needs.
    """

    max_episode_steps: int | None
    random_words: ClassVar[int]

    @abc.abstractmethod
    def start(self, words: jax.Array) -> Any:
        """Returns a world at the start of an episode.

        Args:
          words: `[random_words]` uint32, uniform and independent.
        """

    @abc.abstractmethod
    def advance(self, world: Any, action: Any) -> tuple[Any, Any, Any]:
        """Returns the world after the action, the reward `[]`, and whether the episode terminated `[]`.

        Also called, and its result dropped, where the episode has ended: it must not depend on that it is not.
        """

    @abc.abstractmethod
    def observe(self, world: Any) -> Any:
        """Returns what the agent sees of a world."""

    def init(self, key: jax.Array) -> tuple[EpisodeState, TimeStep]:
        """Returns the first state and the FIRST step; see `JaxEnvironment.init`."""
        words, episode = jax.random.bits(key, (2,), jnp.uint32), jnp.zeros((), jnp.uint32)
        world = self.start(random_words(words, episode, self.random_words))
        state = EpisodeState(world, words, episode, jnp.zeros((), jnp.int32), jnp.zeros((), bool))
        first = jnp.full((), StepType.FIRST, jnp.int32)
        return state, TimeStep(first, jnp.zeros((), jnp.float32), jnp.ones((), jnp.float32), self.observe(world))

    def step(self, state: EpisodeState, action: Any) -> tuple[EpisodeState, TimeStep]:
        """Returns the next state and step; see `JaxEnvironment.step`."""
        starts = state.ended
        episode = state.episode + starts.astype(jnp.uint32)
        fresh = self.start(random_words(state.words, episode, self.random_words))
        moved, reward, terminated = self.advance(state.world, action)
        world = jax.tree.map(lambda new, old: jnp.where(starts, new, old), fresh, moved)
        time = jnp.where(starts, 0, state.time + 1)
        terminated = ~starts & jnp.asarray(terminated, bool)
        ended = terminated if self.max_episode_steps is None else terminated | (time >= self.max_episode_steps)
        kind = jnp.where(ended, StepType.LAST, jnp.where(starts, StepType.FIRST, StepType.MID)).astype(jnp.int32)
        time_step = TimeStep(
            step_type=kind,
            reward=jnp.where(starts, 0.0, reward).astype(jnp.float32),
            discount=jnp.where(terminated, 0.0, 1.0).astype(jnp.float32),
            observation=self.observe(world),
        )
        return EpisodeState(world, state.words, episode, time, ended), time_step


def random_words(key: jax.Array, counter: jax.Array, count: int) -> jax.Array:
    """Returns `[count]` uniform uint32 words: the Threefry-2x32 cipher of `(counter, 0), (counter, 1), ...`.

    These are the words of `jax.extend.random.threefry_2x32`. On the CPU JAX runs that cipher as a loop of its own,
    which costs more than a whole step of a small environment; written out it fuses into the step. Measured for
    CartPole's physics under `scan` on two CPU cores: 18M steps a second instead of 0.4M for one environment,
    46M instead of 6M for 64.

    Args:
      key: `[2]` uint32.
      counter: `[]` uint32.
      count: words.

    Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 4.2 (20 rounds).
    """
    blocks = (count + 1) // 2
    parity = np.uint32(0x1BD11BDA)  # the constant of Skein, which keeps the key schedule from being all zeros
    schedule = (key[0], key[1], key[0] ^ key[1] ^ parity)
    left = jnp.broadcast_to(counter, (blocks,)) + schedule[0]
    right = jnp.arange(blocks, dtype=jnp.uint32) + schedule[1]
    for group in range(5):
        for rotation in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            left = left + right
            right = ((right << np.uint32(rotation)) | (right >> np.uint32(32 - rotation))) ^ left
        left = left + schedule[(group + 1) % 3]
        right = right + schedule[(group + 2) % 3] + np.uint32(group + 1)
    return jnp.concatenate([left, right])[:count]


def uniform(words: jax.Array) -> jax.Array:
    """Returns float32 in `[0, 1)`, multiples of 2**-24, one for each uint32 word."""
    return (words >> np.uint32(8)).astype(jnp.float32) * np.float32(2.0**-24)


def below(word: jax.Array, bound: int) -> jax.Array:
    """Returns an int32 in `0..bound - 1` from a uint32 word; the bias is below `bound / 2**32`."""
    return (word % np.uint32(bound)).astype(jnp.int32)
