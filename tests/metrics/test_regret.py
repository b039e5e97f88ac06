"""Regret against the same sums in NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.metrics import RegretMetrics

RANDOM = np.random.default_rng(0)
EXPECTED = RANDOM.standard_normal((60, 4)).astype(np.float32)
ACTION, GREEDY = RANDOM.integers(0, 4, 60), RANDOM.integers(0, 4, 60)
REWARD = RANDOM.standard_normal(60).astype(np.float32)


def measured(*cuts: int):
    metrics = RegretMetrics(num_actions=4)
    state = metrics.init()
    for part in np.split(np.arange(60), cuts):
        state = jax.jit(metrics.update)(state, EXPECTED[part], ACTION[part], REWARD[part], GREEDY[part])
    return metrics, state


def test_regret_and_its_baselines_are_those_of_numpy():
    metrics, state = measured()
    found = metrics.compute(state)
    losses = EXPECTED.max(axis=1, keepdims=True) - EXPECTED
    rows = np.arange(60)
    np.testing.assert_allclose(found.regret, losses[rows, ACTION].sum(), rtol=1e-5)
    np.testing.assert_allclose(found.greedy_regret, losses[rows, GREEDY].sum(), rtol=1e-5)
    np.testing.assert_allclose(found.uniform_regret, losses.mean(axis=1).sum(), rtol=1e-5)
    np.testing.assert_allclose(found.constant_regret, losses.sum(axis=0).min(), rtol=1e-5)
    np.testing.assert_allclose(found.relative_regret, 100 * found.regret / found.uniform_regret)
    assert found.suboptimal_share == np.mean(EXPECTED.argmax(axis=1) != ACTION)
    assert found.exploration_share == np.mean(ACTION != GREEDY)
    np.testing.assert_allclose(found.arm_shares, np.bincount(ACTION, minlength=4) / 60)


def test_the_interval_of_the_reward_is_that_of_its_mean():
    metrics, state = measured()
    low, high = metrics.compute(state).reward_interval
    half = 1.96 * REWARD.std() / np.sqrt(60)
    np.testing.assert_allclose([low, high], [REWARD.mean() - half, REWARD.mean() + half], rtol=1e-4)


def test_stretches_add_up():
    (_, whole), (_, cut) = measured(), measured(7, 40)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), whole, cut)


def test_ties_are_not_suboptimal():
    metrics = RegretMetrics(num_actions=2)
    state = metrics.update(metrics.init(), jnp.ones((1, 2)), jnp.array([1]), jnp.ones(1), jnp.array([0]))
    found = metrics.compute(state)
    assert (found.suboptimal_share, found.exploration_share, found.regret) == (0.0, 1.0, 0.0)


def test_nothing_is_not_a_number():
    metrics = RegretMetrics(num_actions=2)
    found = metrics.compute(metrics.init())
    assert found.rounds == 0
    assert np.isnan([found.mean_reward, found.relative_regret, found.suboptimal_share]).all()
