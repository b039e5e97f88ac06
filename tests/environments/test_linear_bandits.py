"""Linear, drifting, per-arm and Bernoulli bandits, each against a line of NumPy."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from jaxdaw.environments import BernoulliBandit, DriftingLinearBandit, LinearBandit, PerArmBandit
from jaxdaw.errors import ConfigError


def drawn(environment, count: int):
    problem = environment.draw_problem(jax.random.key(0))
    return jax.device_get((problem, environment.draw_rounds(problem, jax.random.key(1), 0, count)))


def test_linear_rewards_are_products_and_noise():
    weights, rounds = drawn(LinearBandit(num_actions=3, size=5, noise=0.1), 4_000)
    np.testing.assert_allclose(rounds.expected_rewards, rounds.observation @ weights.T, atol=1e-5)
    noise = rounds.rewards - rounds.expected_rewards
    assert abs(noise.std() - 0.1) < 5 * 0.1 / np.sqrt(2 * noise.size)
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1.0, rtol=1e-5)


def test_sparse_arms_look_at_few_entries_of_their_own():
    weights, _ = drawn(LinearBandit(num_actions=20, size=10, nonzero=3), 1)
    assert ((weights != 0).sum(axis=1) == 3).all()
    assert len({tuple(row) for row in (weights != 0).tolist()}) > 1


def test_drifting_arms_turn():
    environment = DriftingLinearBandit(num_actions=2, size=4, period=40, noise=0.0)
    (first, second), rounds = drawn(environment, 60)
    angle = 2 * np.pi * np.arange(60) / 40
    weights = np.cos(angle)[:, None, None] * first + np.sin(angle)[:, None, None] * second
    np.testing.assert_allclose(rounds.expected_rewards, np.einsum("td,tad->ta", rounds.observation, weights), atol=1e-5)
    np.testing.assert_allclose(np.sum(first * second, axis=1), 0.0, atol=1e-6)


def test_arms_are_worth_what_their_features_say():
    matrix, rounds = drawn(PerArmBandit(num_actions=4, size=3, arm_size=2, noise=0.0), 30)
    seen = rounds.observation
    expected = np.einsum("tg,gk,tak->ta", seen["global"], matrix, seen["per_arm"]) / np.sqrt(2)
    np.testing.assert_allclose(rounds.expected_rewards, expected, atol=1e-5)


def test_coins_fall_as_often_as_they_should():
    _, rounds = drawn(BernoulliBandit((0.1, 0.9)), 10_000)
    np.testing.assert_allclose(rounds.rewards.mean(axis=0), [0.1, 0.9], atol=5 * 0.3 / 100)
    assert set(np.unique(rounds.rewards)) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: LinearBandit(size=3, nonzero=4), "nonzero is outside its range"),
        (lambda: DriftingLinearBandit(period=0), "a drift needs room and time"),
        (lambda: BernoulliBandit((0.5, 1.5)), "probabilities are outside their range"),
    ],
)
def test_what_cannot_be_is_refused(make, text: str):
    with pytest.raises(ConfigError, match=text):
        make()
