"""MountainCar and MountainCarContinuous against Gymnasium's, step by step."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from tests.environments.against_gymnasium import compare_steps

from jaxdaw.environments import MountainCar, MountainCarContinuous

KINDS = [MountainCar, MountainCarContinuous]


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_equals_gymnasium_from_the_same_state(kind: type):
    random = np.random.default_rng(0)
    states = random.uniform([-1.2, -0.07], [0.6, 0.07], (4_000, 2)).astype(np.float32)
    states[:100] = [-1.2, -0.07]  # at the wall
    states[100:200] = random.uniform([-1.2, -0.07], [-1.15, -0.05], (100, 2))  # towards it
    if kind is MountainCar:
        terminated = compare_steps(MountainCar(), "MountainCar-v0", states, random.integers(0, 3, 4_000))
    else:
        forces = random.uniform(-1.5, 1.5, (4_000, 1)).astype(np.float32)  # some beyond the bounds
        terminated = compare_steps(MountainCarContinuous(), "MountainCarContinuous-v0", states, forces)
    assert 100 < terminated < 2_000


@pytest.mark.parametrize("kind", KINDS)
def test_starts_are_still_and_uniform_in_the_valley(kind: type):
    states, _ = jax.jit(jax.vmap(kind().init))(jax.random.split(jax.random.key(0), 2_000))
    position, velocity = np.asarray(states.world).T
    assert (position.min(), position.max()) >= (-0.6, -0.41)
    assert position.max() < -0.4
    np.testing.assert_allclose(position.std(), 0.2 / np.sqrt(12), rtol=0.05)
    assert (velocity == 0).all()
