"""Pendulum against Gymnasium's, step by step."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from tests.environments.against_gymnasium import compare_steps

from jaxdaw.environments import Pendulum
from jaxdaw.trajectories import StepType


def test_every_step_equals_gymnasium_from_the_same_state():
    random = np.random.default_rng(0)
    states = random.uniform([-np.pi, -8], [np.pi, 8], (2_000, 2)).astype(np.float32)
    actions = random.uniform(-3, 3, (2_000, 1)).astype(np.float32)  # some beyond the bounds
    assert compare_steps(Pendulum(), "Pendulum-v1", states, actions) == 0


def test_gravity_is_that_of_gymnasiums_g():
    world = jnp.array([jnp.pi / 2, 0.0])
    still = Pendulum(gravity=0.0).advance(world, jnp.zeros(1))[0]
    moved = Pendulum(gravity=9.81).advance(world, jnp.zeros(1))[0]
    np.testing.assert_allclose(still, world, atol=1e-6)
    np.testing.assert_allclose(moved[1], 3 * 9.81 / 2 * 0.05, rtol=1e-6)


def test_without_velocities_the_angle_alone_is_seen():
    hidden, seen = Pendulum(velocities=False), Pendulum()
    state, time_step = hidden.init(jax.random.key(3))
    _, full = seen.init(jax.random.key(3))
    assert hidden.observation_spec.shape == time_step.observation.shape == (2,)
    np.testing.assert_array_equal(time_step.observation, full.observation[:2])
    _, after = hidden.step(state, jnp.ones(1))
    np.testing.assert_array_equal(after.observation, seen.step(state, jnp.ones(1))[1].observation[:2])


def test_starts_are_uniform_and_the_time_limit_cuts():
    environment = Pendulum(max_episode_steps=1)
    states, _ = jax.jit(jax.vmap(environment.init))(jax.random.split(jax.random.key(0), 2_000))
    starts = np.asarray(states.world)
    assert (np.abs(starts) <= [np.pi + 1e-6, 1]).all()
    np.testing.assert_allclose(starts.std(0), np.array([np.pi, 1]) / np.sqrt(3), rtol=0.05)
    _, last = jax.jit(jax.vmap(environment.step))(states, jnp.zeros((2_000, 1)))
    assert (last.step_type == StepType.LAST).all()
    assert (last.discount == 1.0).all()
