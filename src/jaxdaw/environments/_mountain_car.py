"""MountainCar: Gymnasium's MountainCar-v0 and MountainCarContinuous-v0 as pure environments."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.environments._episodic import EpisodicEnvironment, uniform

_LEFT, _RIGHT = -1.2, 0.6
_MAX_SPEED = 0.07  # a step
_GRAVITY = 0.0025


@dataclasses.dataclass(frozen=True)
class MountainCar(EpisodicEnvironment):
    """Drive a weak car out of a valley, by swinging to and fro: reward -1 a step.

    Equal to Gymnasium's MountainCar-v0 step by step, up to float32 rounding (Gymnasium computes in float64); starts are
    drawn from the same distribution, not the same numbers.

    Observation: float32 `[2]`: position, velocity a step. Action: 0, 1 or 2 pushes to the left, not at all, to the
    right. Terminates at the flag, position 0.5.

    Args:
      max_episode_steps: after which an episode is cut; None cuts never.

    Source: Moore 1990; Gymnasium `envs/classic_control/mountain_car.py`.

    >>> state, time_step = MountainCar().init(jax.random.key(0))
    >>> bool(-0.6 <= time_step.observation[0] < -0.4)
    True
    """

    max_episode_steps: int | None = 200
    random_words: ClassVar[int] = 1

    @property
    def observation_spec(self) -> specs.BoundedTensorSpec:
        """float32 `[2]`."""
        return _OBSERVATION_SPEC

    @property
    def action_spec(self) -> specs.BoundedTensorSpec:
        """int32, 0 to 2."""
        return specs.BoundedTensorSpec((), np.int32, 0, 2, "action")

    def start(self, words: jax.Array) -> jax.Array:
        """Returns `[2]` float32, a position in -0.6 to -0.4 and no velocity."""
        return _start(words)

    def advance(self, world: jax.Array, action: Any) -> tuple[jax.Array, float, jax.Array]:
        """Returns the state one step later, -1, and whether the car is at the flag."""
        world = _moved(world, 0.001 * (jnp.asarray(action, jnp.float32) - 1.0))
        return world, -1.0, (world[0] >= 0.5) & (world[1] >= 0.0)

    def observe(self, world: jax.Array) -> jax.Array:
        """Returns the state itself."""
        return world


@dataclasses.dataclass(frozen=True)
class MountainCarContinuous(EpisodicEnvironment):
    """Drive a weak car out of a valley by a force of any size: reward 100 at the flag, less `0.1 force**2` a step.

    Equal to Gymnasium's MountainCarContinuous-v0 step by step, up to float32 rounding.

    Observation: float32 `[2]`: position, velocity a step. Action: float32 `[1]`, the force; beyond +-1 the car feels
    it clipped. Terminates at the flag, position 0.45.

    Args:
      max_episode_steps: after which an episode is cut; None cuts never.

    Source: Moore 1990; Gymnasium `envs/classic_control/continuous_mountain_car.py`.

    >>> MountainCarContinuous().action_spec.shape
    (1,)
    """

    max_episode_steps: int | None = 999
    random_words: ClassVar[int] = 1

    @property
    def observation_spec(self) -> specs.BoundedTensorSpec:
        """float32 `[2]`."""
        return _OBSERVATION_SPEC

    @property
    def action_spec(self) -> specs.BoundedTensorSpec:
        """float32 `[1]`, within +-1."""
        return specs.BoundedTensorSpec((1,), np.float32, -1, 1, "action")

    def start(self, words: jax.Array) -> jax.Array:
        """Returns `[2]` float32, a position in -0.6 to -0.4 and no velocity."""
        return _start(words)

    def advance(self, world: jax.Array, action: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns the state one step later, the reward, and whether the car is at the flag."""
        world = _moved(world, 0.0015 * jnp.clip(action[0], -1.0, 1.0))
        is_there = (world[0] >= 0.45) & (world[1] >= 0.0)
        return world, jnp.where(is_there, 100.0, 0.0) - 0.1 * jnp.square(action[0]), is_there

    def observe(self, world: jax.Array) -> jax.Array:
        """Returns the state itself."""
        return world


_OBSERVATION_SPEC = specs.BoundedTensorSpec(
    (2,),
    np.float32,
    np.array([_LEFT, -_MAX_SPEED], np.float32),
    np.array([_RIGHT, _MAX_SPEED], np.float32),
    "observation",
)


def _start(words: jax.Array) -> jax.Array:
    return jnp.stack([uniform(words)[0] * np.float32(0.2) - np.float32(0.6), jnp.zeros(())])


def _moved(world: jax.Array, push: jax.Array) -> jax.Array:
    """Returns position and velocity one step later; the wall on the left stops the car."""
    position, velocity = world[0], world[1]
    velocity = jnp.clip(velocity + push - _GRAVITY * jnp.cos(3 * position), -_MAX_SPEED, _MAX_SPEED)
    position = jnp.clip(position + velocity, _LEFT, _RIGHT)
    return jnp.stack([position, jnp.where((position == np.float32(_LEFT)) & (velocity < 0.0), 0.0, velocity)])
