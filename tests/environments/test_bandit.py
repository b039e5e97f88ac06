"""Bandits as environments: one decision an episode, and rounds that do not depend on how they are drawn."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.environments import (
    BernoulliBandit,
    ClassificationBandit,
    DriftingLinearBandit,
    JaxToHost,
    LinearBandit,
    MushroomBandit,
    PerArmBandit,
    RewardTableBandit,
    Wheel,
    find_faults,
)
from jaxdaw.trajectories import StepType

TABLE = np.arange(12, dtype=np.float32).reshape(6, 2)
BANDITS = [
    BernoulliBandit(),
    ClassificationBandit(TABLE, np.array([0, 1, 2, 0, 1, 2])),
    DriftingLinearBandit(),
    LinearBandit(),
    LinearBandit(nonzero=2),
    MushroomBandit(TABLE, np.array([0, 1, 0, 1, 0, 1])),
    PerArmBandit(),
    RewardTableBandit(TABLE, TABLE),
    Wheel(),
]


@pytest.mark.parametrize("environment", BANDITS, ids=lambda e: type(e).__name__)
def test_a_bandit_keeps_the_contract_of_environments(environment):
    assert [fault for fault in find_faults(environment) if not fault.startswith("note: ")] == []


@pytest.mark.parametrize("environment", BANDITS, ids=lambda e: type(e).__name__)
def test_the_optimal_action_earns_the_optimal_reward(environment):
    problem = environment.draw_problem(jax.random.key(0))
    rounds = environment.draw_rounds(problem, jax.random.key(1), 0, 50)
    expected = np.asarray(rounds.expected_rewards)
    np.testing.assert_array_equal(rounds.optimal_action, expected.argmax(axis=1))
    np.testing.assert_array_equal(rounds.optimal_reward, expected.max(axis=1))
    assert expected.shape == rounds.rewards.shape == (50, environment.num_actions)


def test_an_episode_is_one_decision():
    environment = ClassificationBandit(TABLE, np.array([0, 1, 2, 0, 1, 2]))
    state, step = environment.init(jax.random.key(0))
    labels = {tuple(row): label for row, label in zip(TABLE.tolist(), [0, 1, 2, 0, 1, 2], strict=True)}
    seen = []
    for _ in range(6):
        seen.append(tuple(np.asarray(step.observation).tolist()))
        state, step = environment.step(state, labels[seen[-1]])
        assert (int(step.step_type), float(step.reward), float(step.discount)) == (StepType.LAST, 1.0, 0.0)
        assert tuple(np.asarray(step.observation).tolist()) == seen[-1]
        state, step = environment.step(state, 0)
        assert (int(step.step_type), float(step.reward), float(step.discount)) == (StepType.FIRST, 0.0, 1.0)
    assert sorted(seen) == sorted(labels)  # one pass reads each row once


def test_rounds_are_the_same_however_they_are_cut():
    environment, key = LinearBandit(), jax.random.key(3)
    problem = environment.draw_problem(jax.random.key(0))
    whole = environment.draw_rounds(problem, key, 0, 10)
    parts = [environment.draw_rounds(problem, key, start, 5) for start in (0, 5)]
    joined = jax.tree.map(lambda *x: jnp.concatenate(x), *parts)
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(joined), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)  # other lengths, other vector code: the last bit


def test_a_bandit_steps_on_the_host_too():
    step = JaxToHost(BernoulliBandit((0.0, 1.0)), num_envs=3).reset(seed=0)
    assert step.observation.shape == (3, 1)
