"""Acrobot against Gymnasium's, step by step."""

from __future__ import annotations

import jax
import numpy as np
from tests.environments.against_gymnasium import compare_steps

from jaxdaw.environments import Acrobot


def test_every_step_equals_gymnasium_from_the_same_state():
    """States as episodes visit them: a step of Runge-Kutta at the highest speeds amplifies float32 rounding."""
    random = np.random.default_rng(0)
    states = random.uniform([-np.pi, -np.pi, -4, -6], [np.pi, np.pi, 4, 6], (2_000, 4)).astype(np.float32)
    terminated = compare_steps(Acrobot(), "Acrobot-v1", states, random.integers(0, 3, 2_000))
    assert 200 < terminated < 1_800  # both outcomes were compared, hundreds of times


def test_starts_are_uniform():
    states, _ = jax.jit(jax.vmap(Acrobot().init))(jax.random.split(jax.random.key(0), 2_000))
    starts = np.asarray(states.world)
    assert np.abs(starts).max() <= 0.1
    np.testing.assert_allclose(starts.std(0), 0.2 / np.sqrt(12), rtol=0.05)


def test_speeds_are_limited():
    world = np.array([0.5, 0.5, 12.5, 28.2], np.float32)
    speeds = np.abs(np.asarray(Acrobot().advance(world, 2)[0][2:]))
    assert (speeds <= np.array([4 * np.pi, 9 * np.pi], np.float32)).all()
