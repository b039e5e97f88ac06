"""Synthetic bandits: linear in the context, drifting, linear in features of the arms, and Bernoulli arms."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.environments._bandit import BanditEnvironment, BanditRound
from jaxdaw.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class BernoulliBandit(BanditEnvironment):
    """Arms that earn 1 with their own probability, else 0; the observation is constant.

    Observation: float32 `[1]`, always 1.

    Args:
      probabilities: one for each arm, in `[0, 1]`.

    >>> environment = BernoulliBandit((0.0, 1.0))
    >>> environment.draw_round((), 0, jax.random.key(0)).rewards
    Array([0., 1.], dtype=float32)
    """

    probabilities: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7)

    def __post_init__(self):
        if not self.probabilities or not all(0.0 <= p <= 1.0 for p in self.probabilities):
            raise ConfigError("probabilities are outside their range", expected="[0, 1]", got=str(self.probabilities))

    @property
    def num_actions(self) -> int:  # type: ignore[override]  # follows from the probabilities
        """A, one for each probability."""
        return len(self.probabilities)

    @property
    def observation_spec(self) -> specs.BoundedTensorSpec:
        """float32 `[1]`, 1."""
        return specs.BoundedTensorSpec((1,), np.float32, 1, 1, "observation")

    @property
    def reward_spec(self) -> specs.BoundedTensorSpec:
        """float32, 0 or 1."""
        return specs.BoundedTensorSpec((), np.float32, 0, 1, "reward")

    def draw_round(self, problem: Any, time: Any, key: jax.Array) -> BanditRound:
        """Returns a round with a draw of every arm."""
        del problem, time
        chances = jnp.asarray(self.probabilities, jnp.float32)
        thrown = jax.random.uniform(key, chances.shape) < chances
        return BanditRound(jnp.ones(1, jnp.float32), thrown.astype(jnp.float32), chances)


@dataclasses.dataclass(frozen=True)
class LinearBandit(BanditEnvironment):
    """The reward of an arm is the product of the context with the arm's weights, and noise.

    Contexts are standard normal. Weights are drawn once a run, uniform on the unit sphere of the coordinates that
    matter to the arm, so that every arm's mean reward is standard normal over contexts.

    Observation: float32 `[size]`.

    Args:
      num_actions: A.
      size: d, entries of a context.
      nonzero: entries that matter to an arm, chosen anew for each; 0 is all of them.
      noise: standard deviation of the rewards.

    Source: Riquelme et al. 2018, section 5.2, linear and sparse linear data.

    >>> environment = LinearBandit(num_actions=3, size=8, nonzero=2)
    >>> jnp.sum(environment.draw_problem(jax.random.key(0)) != 0.0, axis=1)
    Array([2, 2, 2], dtype=int32)
    """

    num_actions: int = 8
    size: int = 10
    nonzero: int = 0
    noise: float = 0.1

    def __post_init__(self):
        if not 0 <= self.nonzero <= self.size:
            raise ConfigError("nonzero is outside its range", expected=f"0 to {self.size}", got=str(self.nonzero))

    @property
    def observation_spec(self) -> specs.TensorSpec:
        """float32 `[size]`."""
        return specs.TensorSpec((self.size,), np.float32, "observation")

    def draw_problem(self, key: jax.Array) -> jax.Array:
        """Returns the weights of the arms, `[A, size]`."""
        return _directions(key, self.num_actions, self.size, self.nonzero or self.size)

    def draw_round(self, problem: Any, time: Any, key: jax.Array) -> BanditRound:
        """Returns a round in a normal context."""
        del time
        return _linear_round(problem, self.size, self.noise, key)


@dataclasses.dataclass(frozen=True)
class DriftingLinearBandit(BanditEnvironment):
    """A LinearBandit whose arms turn: after `period` rounds they are where they began, after half of it opposite.

    The weights of an arm in round t are `cos(2 pi t / period) u + sin(2 pi t / period) v` with u and v orthogonal unit
    vectors of the arm, drawn once a run.

    Observation: float32 `[size]`.

    Args:
      num_actions: A.
      size: d, entries of a context, at least 2.
      period: rounds of a full turn.
      noise: standard deviation of the rewards.

    >>> environment = DriftingLinearBandit(period=100)
    >>> problem = environment.draw_problem(jax.random.key(0))
    >>> bool(jnp.allclose(environment.weights(problem, 0), -environment.weights(problem, 50), atol=1e-5))
    True
    """

    num_actions: int = 4
    size: int = 10
    period: int = 10_000
    noise: float = 0.1

    def __post_init__(self):
        if self.size < 2 or self.period < 1:
            got = f"size {self.size}, period {self.period}"
            raise ConfigError("a drift needs room and time", expected="size 2 and period 1 at least", got=got)

    @property
    def observation_spec(self) -> specs.TensorSpec:
        """float32 `[size]`."""
        return specs.TensorSpec((self.size,), np.float32, "observation")

    def draw_problem(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns u and v, each `[A, size]`."""
        key_first, key_second = jax.random.split(key)
        first = _directions(key_first, self.num_actions, self.size, self.size)
        other = _directions(key_second, self.num_actions, self.size, self.size)
        second = other - jnp.sum(other * first, axis=1, keepdims=True) * first
        return first, second / jnp.linalg.norm(second, axis=1, keepdims=True)

    def weights(self, problem: Any, time: Any) -> jax.Array:
        """Returns the weights of the arms in a round, `[A, size]`; pure."""
        first, second = problem
        angle = 2.0 * jnp.pi * (jnp.asarray(time) % self.period) / self.period
        return jnp.cos(angle) * first + jnp.sin(angle) * second

    def draw_round(self, problem: Any, time: Any, key: jax.Array) -> BanditRound:
        """Returns a round in a normal context, with the weights of its time."""
        return _linear_round(self.weights(problem, time), self.size, self.noise, key)


@dataclasses.dataclass(frozen=True)
class PerArmBandit(BanditEnvironment):
    """Arms that are described anew in each round: the reward is `context @ W @ arm / sqrt(size)`, and noise.

    Nothing belongs to an arm's number, so that only what is learned about features helps.

    Observation: a dictionary of `global`, float32 `[size]`, and `per_arm`, float32 `[A, arm_size]`, standard normal.

    Args:
      num_actions: A.
      size: entries of a context.
      arm_size: entries that describe an arm.
      noise: standard deviation of the rewards.

    >>> sorted(PerArmBandit().observation_spec)
    ['global', 'per_arm']
    """

    num_actions: int = 10
    size: int = 8
    arm_size: int = 6
    noise: float = 0.1

    @property
    def observation_spec(self) -> dict[str, specs.TensorSpec]:
        """A dictionary of `global` and `per_arm`."""
        return {
            "global": specs.TensorSpec((self.size,), np.float32, "global"),
            "per_arm": specs.TensorSpec((self.num_actions, self.arm_size), np.float32, "per_arm"),
        }

    def draw_problem(self, key: jax.Array) -> jax.Array:
        """Returns W, `[size, arm_size]`, with columns of length 1 on average."""
        return jax.random.normal(key, (self.size, self.arm_size)) / math.sqrt(self.size)

    def draw_round(self, problem: Any, time: Any, key: jax.Array) -> BanditRound:
        """Returns a round with new arms in a new context."""
        del time
        key_context, key_arms, key_noise = jax.random.split(key, 3)
        context = jax.random.normal(key_context, (self.size,))
        arms = jax.random.normal(key_arms, (self.num_actions, self.arm_size))
        expected = arms @ (context @ problem) / math.sqrt(self.arm_size)
        rewards = expected + self.noise * jax.random.normal(key_noise, expected.shape)
        return BanditRound({"global": context, "per_arm": arms}, rewards, expected)


def _directions(key: jax.Array, count: int, size: int, nonzero: int) -> jax.Array:
    """Returns unit vectors `[count, size]`, each uniform on the sphere of `nonzero` coordinates of its own."""
    key_values, key_places = jax.random.split(key)
    values = jax.random.normal(key_values, (count, size))
    ranks = jnp.argsort(jax.random.uniform(key_places, (count, size)), axis=1)
    values = jnp.where(ranks < nonzero, values, 0.0)
    return values / jnp.linalg.norm(values, axis=1, keepdims=True)


def _linear_round(weights: jax.Array, size: int, noise: float, key: jax.Array) -> BanditRound:
    key_context, key_noise = jax.random.split(key)
    context = jax.random.normal(key_context, (size,))
    expected = weights @ context
    return BanditRound(context, expected + noise * jax.random.normal(key_noise, expected.shape), expected)
