"""CartPole: Gymnasium's CartPole-v1 as a pure environment."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.environments._episodic import EpisodicEnvironment, uniform

_GRAVITY = 9.8  # m/s**2
_CART_MASS, _POLE_MASS = 1.0, 0.1  # kg
_TOTAL_MASS = _CART_MASS + _POLE_MASS
_HALF_LENGTH = 0.5  # m, from the joint to the pole's middle
_FORCE = 10.0  # N
_SECONDS = 0.02  # a step of Euler's method
_ANGLE_LIMIT = 12 * 2 * math.pi / 360  # rad
_POSITION_LIMIT = 2.4  # m


@dataclasses.dataclass(frozen=True)
class CartPole(EpisodicEnvironment):
    """Keep a pole upright by pushing its cart: reward 1 for every step, the last included.

    Equal to Gymnasium's CartPole-v1 step by step, up to float32 rounding (Gymnasium computes in float64); starts are
    drawn from the same distribution, not the same numbers.

    Observation: float32 `[4]`: position in m, velocity in m/s, angle in rad, angular velocity in rad/s; without
    `velocities` position and angle. Action: 1 pushes to the right, anything else to the left. Terminates beyond 12
    degrees or 2.4 m.

    Args:
      max_episode_steps: after which an episode is cut; None cuts never.
      velocities: whether the velocities are observed. Without them a policy needs memory.

    Source: Barto, Sutton & Anderson 1983; Gymnasium `envs/classic_control/cartpole.py`.

    >>> environment = CartPole()
    >>> state, time_step = environment.init(jax.random.key(0))
    >>> time_step.observation.shape
    (4,)
    """

    max_episode_steps: int | None = 500
    velocities: bool = True
    random_words: ClassVar[int] = 4

    @property
    def observation_spec(self) -> specs.BoundedTensorSpec:
        """float32 `[4]`, `[2]` without velocities; bounds are twice the limits, so they hold the final observation."""
        high = np.array([2 * _POSITION_LIMIT, np.inf, 2 * _ANGLE_LIMIT, np.inf], np.float32)
        high = high if self.velocities else high[::2]
        return specs.BoundedTensorSpec(high.shape, np.float32, -high, high, "observation")

    @property
    def action_spec(self) -> specs.BoundedTensorSpec:
        """int32, 0 or 1."""
        return specs.BoundedTensorSpec((), np.int32, 0, 1, "action")

    def start(self, words: jax.Array) -> jax.Array:
        """Returns `[4]` float32, uniform in +-0.05."""
        return uniform(words) * np.float32(0.1) - np.float32(0.05)

    def advance(self, world: jax.Array, action: Any) -> tuple[jax.Array, float, jax.Array]:
        """Returns the state 0.02 s later, reward 1, and whether the pole or the cart is out of its limits."""
        velocity, angle, spin = world[1], world[2], world[3]
        force = jnp.where(action == 1, _FORCE, -_FORCE)
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        pull = (force + _POLE_MASS * _HALF_LENGTH * spin**2 * sine) / _TOTAL_MASS
        inertia = _HALF_LENGTH * (4.0 / 3.0 - _POLE_MASS * cosine**2 / _TOTAL_MASS)
        turning = (_GRAVITY * sine - cosine * pull) / inertia
        pushing = pull - _POLE_MASS * _HALF_LENGTH * turning * cosine / _TOTAL_MASS
        world = world + _SECONDS * jnp.stack([velocity, pushing, spin, turning])
        fallen = (jnp.abs(world[0]) > _POSITION_LIMIT) | (jnp.abs(world[2]) > _ANGLE_LIMIT)
        return world, 1.0, fallen

    def observe(self, world: jax.Array) -> jax.Array:
        """Returns the state itself, or its positions alone."""
        return world if self.velocities else world[::2]
