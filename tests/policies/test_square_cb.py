"""SquareCB and FALCON around predicted rewards; tests/distributions/test_square_cb.py tests the distribution."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from jaxdaw import networks, specs, trajectories
from jaxdaw.distributions import SquareCB
from jaxdaw.errors import ConfigError
from jaxdaw.policies import (
    BanditPolicyType,
    FalconPolicy,
    FastCBPolicy,
    GreedyRewardPredictionPolicy,
    Policy,
    RandomPolicy,
    SquareCBPolicy,
)

OBSERVATION = specs.TensorSpec((3,), np.float32)
MASKED = {"observation": OBSERVATION, "mask": specs.BoundedTensorSpec((4,), np.int32, 0, 1)}
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 3)
RANDOM = np.random.default_rng(0)
SEEN = {
    "observation": RANDOM.normal(size=(3, 3)).astype(np.float32),
    "mask": np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1]], np.int32),
}


def predicting(emit: tuple[str, ...] = ()) -> GreedyRewardPredictionPolicy:
    return GreedyRewardPredictionPolicy(
        trajectories.time_step_spec(MASKED),
        ACTION,
        networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,)),
        observation_and_action_constraint_splitter=lambda both: (both["observation"], both["mask"]),
        emit_policy_info=emit,
    )


def test_squarecb_is_over_the_predicted_rewards_and_the_mask():
    greedy = predicting()
    rewards = np.asarray(greedy.reward_network(SEEN["observation"])[0])
    found = SquareCBPolicy(greedy, 7.0).distribution(SEEN).action
    np.testing.assert_allclose(found.probs, SquareCB(rewards, SEEN["mask"], gamma=7.0).probs, rtol=1e-5)


def test_falcon_sharpens_with_the_root_of_steps_times_allowed_actions_over_weights():
    greedy = predicting()
    policy = FalconPolicy(greedy, 3.0)
    rewards = np.asarray(greedy.reward_network(SEEN["observation"])[0])
    num_weights = 3 * 8 + 8 + 8 * 4 + 4
    for step in (0, 500):
        policy.step = step
        gamma = 3.0 * np.sqrt(np.array([4, 2, 1]) * step / num_weights)
        expected = SquareCB(rewards, SEEN["mask"], gamma=gamma).probs
        np.testing.assert_allclose(policy.distribution(SEEN).action.probs, expected, rtol=1e-4)
        pure = jax.jit(policy.weights_at)(greedy.get_weights(), step)
        np.testing.assert_allclose(pure[1], policy.get_weights()[1], rtol=1e-6)


def test_fastcb_divides_gamma_by_what_the_best_allowed_action_loses():
    """In NumPy: 1 / (K + gamma * gap / (1 - b)), b the best of the allowed, the rest for the best."""
    greedy = predicting()
    rewards = np.asarray(greedy.reward_network(SEEN["observation"])[0], np.float64)
    found = FastCBPolicy(greedy, 7.0).distribution(SEEN).action
    for row, mask in enumerate(SEEN["mask"].astype(bool)):
        best = np.max(rewards[row, mask])
        expected = np.where(mask, 1 / (mask.sum() + 7.0 * (best - rewards[row]) / (1 - best)), 0.0)
        expected[rewards[row] == best] = 0.0
        expected[rewards[row] == best] = 1 - expected.sum()
        np.testing.assert_allclose(found.probs[row], expected, rtol=1e-4)


def test_fastcb_stays_finite_where_the_best_action_cannot_fail():
    values = SquareCB(np.array([[1.0, 0.5], [2.0, 0.0]]))
    found = FastCBPolicy(predicting(), 7.0)._explore(values, 7.0)
    np.testing.assert_allclose(found.probs[:, 1], [1 / (2 + 7e6 * 0.5), 1 / (2 + 7e6 * 2.0)], rtol=1e-5)


def test_what_is_reported_is_the_propensity_and_the_kind_of_exploration():
    policy = FalconPolicy(predicting(("log_probability", "bandit_policy_type")))
    step = policy.action(SEEN, seed=3)
    distribution = policy.distribution(SEEN).action
    np.testing.assert_allclose(step.info.log_probability, distribution.log_prob(step.action), rtol=1e-5)
    greedy = step.action == np.asarray(distribution.mode())
    kinds = np.where(greedy, BanditPolicyType.GREEDY, BanditPolicyType.FALCON)
    np.testing.assert_array_equal(step.info.bandit_policy_type[:, 0], kinds)
    np.testing.assert_array_equal(policy.greedy().action(SEEN).action, distribution.mode())


@pytest.mark.parametrize("gamma", [-1.0, np.inf, np.nan, None])
def test_rates_out_of_range_are_refused(gamma: float):
    with pytest.raises(ConfigError, match="gamma"):
        SquareCBPolicy(predicting(), gamma)


def test_falcon_needs_something_that_learns():
    uniform: Policy = RandomPolicy(trajectories.time_step_spec(OBSERVATION), ACTION)
    with pytest.raises(ConfigError, match="needs a reward model"):
        FalconPolicy(uniform)
