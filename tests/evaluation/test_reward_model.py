"""Ridge regression against NumPy's least squares, and that no row sees itself."""

import numpy as np
import pytest

from data.logs import log
from jaxdaw.data import Decisions
from jaxdaw.errors import ConfigError
from jaxdaw.evaluation._reward_model import ridge_rewards


def test_a_linear_reward_is_found():
    random = np.random.default_rng(0)
    context = random.normal(size=(3000, 2))
    truth = context @ [[1.0, -2.0], [0.5, 3.0]] + [4.0, -1.0]  # [N, A]
    action = random.integers(0, 2, 3000)
    decisions = Decisions(action, truth[np.arange(3000), action], np.full(3000, 0.5), context)
    np.testing.assert_allclose(ridge_rewards(decisions, penalty=1e-6), truth, atol=1e-4)


def test_coefficients_are_those_of_least_squares_on_the_other_folds():
    decisions, folds, penalty = log(60), 3, 2.0
    found = ridge_rewards(decisions, folds=folds, penalty=penalty, seed=5)
    fold = np.random.default_rng(5).permutation(60) % folds
    x = decisions.context
    rows = np.column_stack([(x - x.mean(axis=0)) / x.std(axis=0), np.ones(60)])
    for part in range(folds):
        mean = decisions.reward[fold != part].mean()
        for arm in range(4):
            used = (fold != part) & (decisions.action == arm)
            stacked = np.vstack([rows[used], np.sqrt(penalty) * np.eye(4)])
            target = np.concatenate([decisions.reward[used] - mean, np.zeros(4)])
            coefficients = np.linalg.lstsq(stacked, target, rcond=None)[0]
            np.testing.assert_allclose(found[fold == part, arm], mean + rows[fold == part] @ coefficients, atol=1e-5)


@pytest.mark.parametrize("features", [False, True])
def test_no_row_sees_its_own_reward(features):
    columns = {"arm_features": np.random.default_rng(3).normal(size=(90, 4, 2))} if features else {}
    decisions = log(90, **columns)
    before = ridge_rewards(decisions)
    reward = decisions.reward.copy()
    reward[17] = 1e6
    after = ridge_rewards(decisions.replace(reward=reward))
    np.testing.assert_array_equal(after[17], before[17])
    assert np.abs(after - before).max() > 1


def test_features_of_arms_tell_about_arms_that_were_never_chosen():
    random = np.random.default_rng(0)
    features = random.normal(size=(2000, 3, 1))
    action = random.integers(0, 2, 2000)  # never 2
    reward = 5.0 + 2.0 * features[np.arange(2000), action, 0]
    decisions = Decisions(action, reward, np.full(2000, 0.5), num_arms=3, arm_features=features)
    np.testing.assert_allclose(ridge_rewards(decisions)[:, 2], 5.0 + 2.0 * features[:, 2, 0], atol=0.1)


def test_without_context_it_is_the_mean_of_each_arm():
    decisions = Decisions([0, 1] * 3000, [1.0, 5.0] * 3000, [0.5] * 6000, num_arms=3)
    found = ridge_rewards(decisions)
    np.testing.assert_allclose(found[:, :2], [[1.0, 5.0]] * 6000, atol=0.01)
    np.testing.assert_allclose(found[:, 2], 3.0, atol=0.2)  # never chosen: the mean reward


def test_what_it_cannot_do_is_refused():
    for options in ({"folds": 1}, {"penalty": 0.0}):
        with pytest.raises(ConfigError, match="cannot be cross-fitted"):
            ridge_rewards(log(10), **options)
    wide = np.random.default_rng(0).normal(size=(20, 513))
    with pytest.raises(ConfigError, match="so many features"):
        ridge_rewards(log(20, context=wide))
