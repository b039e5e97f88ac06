"""Probe environments: each detects one particular fault of an agent, and its action values are known."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.environments import EpisodicEnvironment


class Probe(EpisodicEnvironment):
    """An environment of at most two states and two actions.

    Observation: float32 `[1]`, -1, 0 or 1. Action: 0 or 1.

    Source: Jones 2021, "Debugging RL, Without the Agonizing Pain".

    Attributes:
      observations: `[S, 1]`, every observation that an action follows.
    """

    random_words: ClassVar[int] = 1
    observations: ClassVar[np.ndarray]

    @property
    def observation_spec(self) -> specs.BoundedTensorSpec:
        """float32 `[1]`, -1 to 1."""
        return specs.BoundedTensorSpec((1,), np.float32, -1, 1, "observation")

    @property
    def action_spec(self) -> specs.BoundedTensorSpec:
        """int32, 0 or 1."""
        return specs.BoundedTensorSpec((), np.int32, 0, 1, "action")

    @abc.abstractmethod
    def action_values(self, discount: float) -> np.ndarray:
        """Returns the best policy's action values at each of `observations`, `[S, 2]`."""

    def start(self, words: jax.Array) -> jax.Array:
        """Returns what is observed first: 0."""
        del words
        return jnp.zeros(())

    def observe(self, world: jax.Array) -> jax.Array:
        """Returns the world, which is what is observed."""
        return world[None]


def _either(words: jax.Array) -> jax.Array:
    return jnp.where(words[0] % 2 == 0, -1.0, 1.0)


@dataclasses.dataclass(frozen=True)
class ConstantReward(Probe):
    """One step, reward 1. A failure means that the loss or the optimizer is wrong."""

    max_episode_steps: int | None = None
    observations: ClassVar[np.ndarray] = np.zeros((1, 1), np.float32)

    def action_values(self, discount: float) -> np.ndarray:
        """Returns 1 for both."""
        return np.ones((1, 2))

    def advance(self, world: jax.Array, action: Any) -> tuple[Any, Any, Any]:
        """Ends, with reward 1."""
        return world, 1.0, True


@dataclasses.dataclass(frozen=True)
class ObservedReward(Probe):
    """One step; the reward is the observation. A failure means that observations are not learned from."""

    max_episode_steps: int | None = None
    observations: ClassVar[np.ndarray] = np.array([[-1], [1]], np.float32)

    def action_values(self, discount: float) -> np.ndarray:
        """Returns the observation for both."""
        return np.array([[-1.0, -1.0], [1.0, 1.0]])

    def start(self, words: jax.Array) -> jax.Array:
        """Returns -1 or 1."""
        return _either(words)

    def advance(self, world: jax.Array, action: Any) -> tuple[Any, Any, Any]:
        """Ends, with the observation as the reward."""
        return world, world, True


@dataclasses.dataclass(frozen=True)
class DelayedReward(Probe):
    """Two steps, reward 1 at the end. A failure means no bootstrapping, or a wrong discount."""

    max_episode_steps: int | None = None
    observations: ClassVar[np.ndarray] = np.array([[0], [1]], np.float32)

    def action_values(self, discount: float) -> np.ndarray:
        """Returns the discount at first, then 1."""
        return np.array([[discount, discount], [1.0, 1.0]])

    def advance(self, world: jax.Array, action: Any) -> tuple[Any, Any, Any]:
        """Goes from 0 to 1, and from 1 to the end."""
        return jnp.ones(()), world, world == 1


@dataclasses.dataclass(frozen=True)
class ChosenReward(Probe):
    """One step, reward 1 for action 1 and -1 for action 0. A failure means that the action is lost or swapped."""

    max_episode_steps: int | None = None
    observations: ClassVar[np.ndarray] = np.zeros((1, 1), np.float32)

    def action_values(self, discount: float) -> np.ndarray:
        """Returns -1 and 1."""
        return np.array([[-1.0, 1.0]])

    def advance(self, world: jax.Array, action: Any) -> tuple[Any, Any, Any]:
        """Ends, with the action as the reward."""
        return world, 2.0 * jnp.asarray(action, jnp.float32) - 1.0, True


@dataclasses.dataclass(frozen=True)
class MatchedReward(Probe):
    """One step, reward 1 if the action matches the observation, else -1. A failure means that they are misaligned."""

    max_episode_steps: int | None = None
    observations: ClassVar[np.ndarray] = np.array([[-1], [1]], np.float32)

    def action_values(self, discount: float) -> np.ndarray:
        """Returns 1 for action 0 at -1, and for action 1 at 1."""
        return np.array([[1.0, -1.0], [-1.0, 1.0]])

    def start(self, words: jax.Array) -> jax.Array:
        """Returns -1 or 1."""
        return _either(words)

    def advance(self, world: jax.Array, action: Any) -> tuple[Any, Any, Any]:
        """Ends, with the product of the observation and the action's sign as the reward."""
        return world, world * (2.0 * jnp.asarray(action, jnp.float32) - 1.0), True


@dataclasses.dataclass(frozen=True)
class CutEpisode(Probe):
    """Reward 1 for ever, cut by a time limit. A failure means that truncation is taken for termination."""

    max_episode_steps: int | None = 4
    observations: ClassVar[np.ndarray] = np.zeros((1, 1), np.float32)

    def action_values(self, discount: float) -> np.ndarray:
        """Returns `1 + discount + discount**2 + ...` for both."""
        return np.full((1, 2), 1.0 / (1.0 - discount))

    def advance(self, world: jax.Array, action: Any) -> tuple[Any, Any, Any]:
        """Goes on, with reward 1."""
        return world, 1.0, False


PROBES: tuple[Probe, ...] = (
    ConstantReward(),
    ObservedReward(),
    DelayedReward(),
    ChosenReward(),
    MatchedReward(),
    CutEpisode(),
)
"""From the simplest on: the first that an agent fails tells most."""


class ContinuousProbe(EpisodicEnvironment):
    """An environment of which the best action, a number, is known.

    Observation: float32 `[1]`, -1 to 1. Action: float32 `[1]`, -1 to 1.

    Attributes:
      observations: `[S, 1]`, some observations that an action follows.
      best_actions: `[S, 1]`, the best policy's actions there.
    """

    random_words: ClassVar[int] = 1
    observations: ClassVar[np.ndarray]
    best_actions: ClassVar[np.ndarray]

    @property
    def observation_spec(self) -> specs.BoundedTensorSpec:
        """float32 `[1]`, -1 to 1."""
        return specs.BoundedTensorSpec((1,), np.float32, -1, 1, "observation")

    @property
    def action_spec(self) -> specs.BoundedTensorSpec:
        """float32 `[1]`, -1 to 1."""
        return specs.BoundedTensorSpec((1,), np.float32, -1, 1, "action")

    @abc.abstractmethod
    def best_values(self, discount: float) -> np.ndarray:
        """Returns the values of `best_actions` at `observations`, followed by the best policy, `[S]`."""

    def start(self, words: jax.Array) -> jax.Array:
        """Returns what is observed first: 0."""
        del words
        return jnp.zeros(())

    def observe(self, world: jax.Array) -> jax.Array:
        """Returns the world, which is what is observed."""
        return world[None]


@dataclasses.dataclass(frozen=True)
class SteeredReward(ContinuousProbe):
    """One step; the reward is highest for an action of half the observation.

    A failure means that the actor does not follow the critic's gradient, or that observations and actions are
    misaligned.
    """

    max_episode_steps: int | None = None
    observations: ClassVar[np.ndarray] = np.array([[-1], [1]], np.float32)
    best_actions: ClassVar[np.ndarray] = np.array([[-0.5], [0.5]], np.float32)

    def best_values(self, discount: float) -> np.ndarray:
        """Returns 1 for both."""
        return np.ones(2)

    def start(self, words: jax.Array) -> jax.Array:
        """Returns -1 or 1."""
        return _either(words)

    def advance(self, world: jax.Array, action: Any) -> tuple[Any, Any, Any]:
        """Ends, with a reward that falls with the squared distance from the best action."""
        return world, 1.0 - jnp.square(action[0] - world / 2), True


@dataclasses.dataclass(frozen=True)
class CutSteering(ContinuousProbe):
    """One choice for ever, best at 0.5, cut by a time limit.

    A failure means no bootstrapping, a wrong discount, or that truncation is taken for termination.
    """

    max_episode_steps: int | None = 4
    observations: ClassVar[np.ndarray] = np.zeros((1, 1), np.float32)
    best_actions: ClassVar[np.ndarray] = np.array([[0.5]], np.float32)

    def best_values(self, discount: float) -> np.ndarray:
        """Returns `1 + discount + discount**2 + ...`."""
        return np.array([1.0 / (1.0 - discount)])

    def advance(self, world: jax.Array, action: Any) -> tuple[Any, Any, Any]:
        """Goes on, with a reward that falls with the squared distance from 0.5."""
        return world, 1.0 - jnp.square(action[0] - 0.5), False


CONTINUOUS_PROBES: tuple[ContinuousProbe, ...] = (SteeredReward(), CutSteering())
"""For agents of continuous actions, from the simplest on."""
