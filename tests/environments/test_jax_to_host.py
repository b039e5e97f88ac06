"""A pure environment seen from the host."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.environments import CartPole, Catch, JaxToHost
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.trajectories import StepType


def test_steps_are_numpy_and_match_the_spec():
    with JaxToHost(Catch(), 3, seed=0) as environment:
        step = environment.reset()
        for _ in range(12):
            specs.check(step, environment.time_step_spec(), (3,))
            assert all(isinstance(leaf, np.ndarray) for leaf in step)
            step = environment.step(np.ones(3, np.int64))
        assert environment.unwrapped == Catch()
        assert environment.max_episode_steps is None


def test_the_stream_is_that_of_the_pure_environment():
    environment = JaxToHost(CartPole(), 2)
    steps = [environment.reset(seed=5)]
    _, key = jax.random.split(jax.random.key(5))
    state, first = jax.vmap(CartPole().init)(jax.random.split(key, 2))
    np.testing.assert_allclose(steps[0].observation, first.observation, atol=1e-7)
    step = jax.jit(jax.vmap(CartPole().step))
    for action in np.random.default_rng(0).integers(0, 2, (60, 2)):
        state, expected = step(state, action.astype(np.int32))
        got = environment.step(action)
        np.testing.assert_allclose(got.observation, expected.observation, atol=1e-6)
        np.testing.assert_array_equal(got.step_type, expected.step_type)


def test_the_same_seed_gives_the_same_episodes_and_the_next_reset_others():
    environment = JaxToHost(CartPole(), 2, seed=1)
    one, two, again = environment.reset(), environment.reset(), environment.reset(seed=1)
    np.testing.assert_array_equal(one.observation, again.observation)
    assert not np.array_equal(one.observation, two.observation)


def test_step_before_reset_starts_and_actions_are_checked():
    environment = JaxToHost(Catch(), 2, seed=0)
    assert (environment.step(np.zeros(2, int)).step_type == StepType.FIRST).all()
    with pytest.raises(SpecError, match="action is out of range in row 1"):
        environment.step(np.array([0, 3]))


def test_no_rows_are_refused():
    with pytest.raises(ConfigError, match="num_envs"):
        JaxToHost(Catch(), 0)
