"""Acrobot: Gymnasium's Acrobot-v1 as a pure environment."""

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
_MASS, _LENGTH, _CENTRE, _INERTIA = 1.0, 1.0, 0.5, 1.0  # of either link: kg, m, m from its joint, kg m**2
_SECONDS = 0.2  # a step of the Runge-Kutta method
_MAX_SPEEDS = (4 * math.pi, 9 * math.pi)  # rad/s


@dataclasses.dataclass(frozen=True)
class Acrobot(EpisodicEnvironment):
    """Swing the free end of two links above a line, by a motor between them: reward -1 a step, 0 for the last.

    Equal to Gymnasium's Acrobot-v1 step by step, up to float32 rounding (Gymnasium computes in float64); starts are
    drawn from the same distribution, not the same numbers.

    Observation: float32 `[6]`: cosine and sine of the angle of the first link (hanging is 0) and of the second one
    relative to it, both angular velocities in rad/s. Action: 0, 1 or 2, a torque of -1, 0 or 1 N m. Terminates when the
    free end is one link above the fixed one.

    Args:
      max_episode_steps: after which an episode is cut; None cuts never.

    Source: Sutton 1996; Sutton & Barto 2018; Gymnasium `envs/classic_control/acrobot.py`.

    >>> state, time_step = Acrobot().init(jax.random.key(0))
    >>> time_step.observation.shape
    (6,)
    """

    max_episode_steps: int | None = 500
    random_words: ClassVar[int] = 4

    @property
    def observation_spec(self) -> specs.BoundedTensorSpec:
        """float32 `[6]`."""
        high = np.array([1.0, 1.0, 1.0, 1.0, *_MAX_SPEEDS], np.float32)
        return specs.BoundedTensorSpec((6,), np.float32, -high, high, "observation")

    @property
    def action_spec(self) -> specs.BoundedTensorSpec:
        """int32, 0 to 2."""
        return specs.BoundedTensorSpec((), np.int32, 0, 2, "action")

    def start(self, words: jax.Array) -> jax.Array:
        """Returns `[4]` float32, uniform in +-0.1: two angles, two velocities."""
        return uniform(words) * np.float32(0.2) - np.float32(0.1)

    def advance(self, world: jax.Array, action: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns the state 0.2 s later, the reward, and whether the free end is high enough."""
        torque = jnp.asarray(action, jnp.float32) - 1.0
        first = _derivative(world, torque)
        second = _derivative(world + _SECONDS / 2 * first, torque)
        third = _derivative(world + _SECONDS / 2 * second, torque)
        fourth = _derivative(world + _SECONDS * third, torque)
        world = world + _SECONDS / 6 * (first + 2 * second + 2 * third + fourth)
        angles = (world[:2] + math.pi) % (2 * math.pi) - math.pi
        limits = np.array(_MAX_SPEEDS, np.float32)
        world = jnp.concatenate([angles, jnp.clip(world[2:], -limits, limits)])
        is_high = -jnp.cos(world[0]) - jnp.cos(world[0] + world[1]) > 1.0
        return world, jnp.where(is_high, 0.0, -1.0), is_high

    def observe(self, world: jax.Array) -> jax.Array:
        """Returns cosines, sines and velocities."""
        cosines, sines = jnp.cos(world[:2]), jnp.sin(world[:2])
        return jnp.stack([cosines[0], sines[0], cosines[1], sines[1], world[2], world[3]])


def _derivative(world: jax.Array, torque: jax.Array) -> jax.Array:
    """Returns the velocities and accelerations of both links, `[4]`: the equations of motion in Sutton & Barto."""
    angle_1, angle_2, speed_1, speed_2 = world
    coupling = _MASS * _LENGTH * _CENTRE
    inertia_2 = _MASS * _CENTRE**2 + _INERTIA
    shared = inertia_2 + coupling * jnp.cos(angle_2)
    inertia_1 = _MASS * _CENTRE**2 + _INERTIA + _MASS * _LENGTH**2 + 2 * coupling * jnp.cos(angle_2) + inertia_2
    weight_2 = _MASS * _CENTRE * _GRAVITY * jnp.sin(angle_1 + angle_2)
    weight_1 = (_MASS * _CENTRE + _MASS * _LENGTH) * _GRAVITY * jnp.sin(angle_1) + weight_2
    pull = weight_1 - coupling * (jnp.square(speed_2) + 2 * speed_1 * speed_2) * jnp.sin(angle_2)
    turning_2 = torque + shared / inertia_1 * pull - coupling * jnp.square(speed_1) * jnp.sin(angle_2) - weight_2
    turning_2 = turning_2 / (inertia_2 - jnp.square(shared) / inertia_1)
    turning_1 = -(shared * turning_2 + pull) / inertia_1
    return jnp.stack([speed_1, speed_2, turning_1, turning_2])
