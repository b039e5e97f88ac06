"""Pendulum: Gymnasium's Pendulum-v1 as a pure environment."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.environments._episodic import EpisodicEnvironment, uniform

_MAX_SPEED = 8.0  # rad/s
_MAX_TORQUE = 2.0  # N m
_SECONDS = 0.05  # a step of the semi-implicit Euler method
_MASS, _LENGTH = 1.0, 1.0  # kg, m


@dataclasses.dataclass(frozen=True)
class Pendulum(EpisodicEnvironment):
    """Swing a pendulum up and keep it upright; its motor is too weak to lift it at once.

    Equal to Gymnasium's Pendulum-v1 step by step, up to float32 rounding (Gymnasium computes in float64); starts are
    drawn from the same distribution, not the same numbers. The angle is kept within half a turn, so that its precision
    does not fall in long episodes.

    Observation: float32 `[3]`: cosine and sine of the angle (upright is 0), angular velocity in rad/s; without
    `velocities` the first two. Action: float32 `[1]`, the torque in N m; beyond +-2 it is clipped. The reward is
    `-(angle**2 + 0.1 velocity**2 + 0.001 torque**2)`, of the state before the step. Never terminates.

    Args:
      gravity: in m/s**2.
      velocities: whether the velocity is observed.
      max_episode_steps: after which an episode is cut; None cuts never.

    Source: Gymnasium `envs/classic_control/pendulum.py`.

    >>> environment = Pendulum(velocities=False)
    >>> state, time_step = environment.init(jax.random.key(0))
    >>> time_step.observation.shape
    (2,)
    """

    gravity: float = 10.0
    velocities: bool = True
    max_episode_steps: int | None = 200
    random_words: ClassVar[int] = 2

    @property
    def observation_spec(self) -> specs.BoundedTensorSpec:
        """float32 `[3]`, or `[2]` without velocities."""
        high = np.array([1.0, 1.0, _MAX_SPEED][: 3 if self.velocities else 2], np.float32)
        return specs.BoundedTensorSpec(high.shape, np.float32, -high, high, "observation")

    @property
    def action_spec(self) -> specs.BoundedTensorSpec:
        """float32 `[1]`, within +-2."""
        return specs.BoundedTensorSpec((1,), np.float32, -_MAX_TORQUE, _MAX_TORQUE, "action")

    def start(self, words: jax.Array) -> jax.Array:
        """Returns `[2]` float32, any angle and a velocity within +-1."""
        return (2 * uniform(words) - 1) * np.array([math.pi, 1.0], np.float32)

    def advance(self, world: jax.Array, action: Any) -> tuple[jax.Array, jax.Array, bool]:
        """Returns the state 0.05 s later, the reward of the state before, and False."""
        angle, velocity = world[0], world[1]
        torque = jnp.clip(action[0], -_MAX_TORQUE, _MAX_TORQUE)
        reward = -(jnp.square(angle) + 0.1 * jnp.square(velocity) + 0.001 * jnp.square(torque))
        turning = 3 * self.gravity / (2 * _LENGTH) * jnp.sin(angle) + 3.0 / (_MASS * _LENGTH**2) * torque
        velocity = jnp.clip(velocity + turning * _SECONDS, -_MAX_SPEED, _MAX_SPEED)
        angle = angle + velocity * _SECONDS
        return jnp.stack([(angle + math.pi) % (2 * math.pi) - math.pi, velocity]), reward, False

    def observe(self, world: jax.Array) -> jax.Array:
        """Returns cosine, sine and, unless it is hidden, the velocity."""
        seen = [jnp.cos(world[0]), jnp.sin(world[0]), world[1]]
        return jnp.stack(seen if self.velocities else seen[:2])
