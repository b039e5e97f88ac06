"""Policies and built-in candidates as tables of probabilities."""

import numpy as np
import pytest

from data.logs import log
from jaxdaw import specs
from jaxdaw.errors import SpecError
from jaxdaw.evaluation import policy_probabilities
from jaxdaw.networks import GlobalAndArmCommonTowerNetwork, QNetwork
from jaxdaw.policies import (
    BoltzmannPolicy,
    EpsilonGreedyPolicy,
    GreedyPolicy,
    GreedyRewardPredictionPolicy,
    QPolicy,
    RandomPolicy,
)
from jaxdaw.trajectories import time_step_spec

CONTEXT = specs.TensorSpec((3,), "float32")


def policies(context=CONTEXT, arms=4):
    action = specs.BoundedTensorSpec((), "int32", 0, arms - 1)
    step = time_step_spec(context)
    network = QNetwork(context, action, fc_layer_params=(8,))
    policy = QPolicy(step, action, network)
    return network, [
        RandomPolicy(step, action),
        GreedyPolicy(policy),
        EpsilonGreedyPolicy(policy, 0.2),
        BoltzmannPolicy(policy, 0.7),
    ]


def test_probabilities_are_those_of_the_formulas():
    decisions = log(50)
    network, (uniform, greedy, exploring, boltzmann) = policies()
    values = np.asarray(network(decisions.context)[0])
    best = (values.argmax(axis=1)[:, None] == np.arange(4)).astype(float)
    soft = np.exp(values / 0.7) / np.exp(values / 0.7).sum(axis=1, keepdims=True)
    for policy, wanted in ((uniform, np.full((50, 4), 0.25)), (greedy, best), (exploring, 0.8 * best + 0.05)):
        np.testing.assert_allclose(policy_probabilities(policy, decisions), wanted, atol=1e-6)
    np.testing.assert_allclose(policy_probabilities(boltzmann, decisions), soft, atol=1e-5)


def test_actions_that_do_not_count_from_0_stand_for_the_arms():
    shifted = RandomPolicy(time_step_spec(CONTEXT), specs.BoundedTensorSpec((), "int32", 3, 6))
    np.testing.assert_allclose(policy_probabilities(shifted, log(5)), 0.25, atol=1e-6)


def test_a_policy_chooses_among_the_eligible_arms():
    eligible = np.tile([[True, True, True, True], [False, True, True, False]], (25, 1))
    decisions = log(50, eligible=eligible)
    network, (_, greedy, exploring, _) = policies()
    values = np.where(eligible, np.asarray(network(decisions.context)[0]), -np.inf)
    best = (values.argmax(axis=1)[:, None] == np.arange(4)).astype(float)
    share = eligible / eligible.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(policy_probabilities(greedy, decisions), best, atol=1e-6)
    np.testing.assert_allclose(policy_probabilities(exploring, decisions), 0.8 * best + 0.2 * share, atol=1e-6)


def test_many_rows_are_the_same_as_few():
    decisions = log(9000)  # more than one batch
    _, (_, _, exploring, _) = policies()
    found = policy_probabilities(exploring, decisions)
    tail = policy_probabilities(exploring, decisions.select(slice(8500, 9000)))
    np.testing.assert_allclose(found[8500:], tail, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_a_policy_that_does_not_fit_the_log_is_refused():
    with pytest.raises(SpecError, match="does not choose among the arms"):
        policy_probabilities(policies(arms=3)[1][0], log(10))
    with pytest.raises(SpecError, match="does not fit the contexts"):
        policy_probabilities(policies(context=specs.TensorSpec((5,), "float32"))[1][1], log(10))
    with pytest.raises(SpecError, match="does not fit the contexts"):
        policy_probabilities(policies(context={"x": CONTEXT})[1][1], log(10))
    step = time_step_spec(CONTEXT)
    with pytest.raises(SpecError, match="does not choose among the arms"):
        policy_probabilities(RandomPolicy(step, specs.BoundedTensorSpec((4,), "int32", 0, 3)), log(10))


def test_features_of_arms_stand_beside_the_context():
    decisions = log(30, arm_features=np.random.default_rng(0).normal(size=(30, 4, 2)).astype(np.float32))
    observation = {"global": CONTEXT, "per_arm": specs.TensorSpec((4, 2), "float32")}
    action = specs.BoundedTensorSpec((), "int32", 0, 3)
    network = GlobalAndArmCommonTowerNetwork(observation, (4,), (4,), (4,))
    policy = GreedyRewardPredictionPolicy(time_step_spec(observation), action, network, accepts_per_arm_features=True)
    seen = {"global": decisions.context, "per_arm": decisions.arm_features}
    wanted = np.asarray(policy.action(seen).action)
    np.testing.assert_array_equal(policy_probabilities(policy, decisions).argmax(axis=1), wanted)
