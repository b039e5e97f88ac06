"""Acting with noise in the weights: each row draws its own, and the greedy policy acts by the means."""

import jax
import numpy as np
import pytest

from jaxdaw import networks
from jaxdaw.errors import ConfigError
from jaxdaw.networks import with_noise
from jaxdaw.policies import EpsilonGreedyPolicy, GreedyPolicy, NoisyNetworkPolicy, QPolicy

from .test_base import ACTION, OBSERVATION, ROWS, STEP

NETWORK = networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,), noisy=True)
SAME = jax.tree.map(lambda x: np.repeat(x[:1], 200, axis=0), ROWS)


def noisy(epsilon=0.0):
    return NoisyNetworkPolicy(EpsilonGreedyPolicy(QPolicy(STEP, ACTION, NETWORK), epsilon))


def test_each_row_and_each_call_draws_its_own_noise():
    policy = noisy()
    first = policy.action(SAME, seed=0).action
    assert len(np.unique(first)) > 1
    np.testing.assert_array_equal(first, policy.action(SAME, seed=0).action)
    assert not np.array_equal(first, policy.action(SAME, seed=1).action)
    assert first.dtype == ACTION.dtype


def test_a_row_acts_greedily_by_its_noisy_weights():
    policy = noisy()
    keys, draws = (x[0] for x in policy.draw(jax.random.key(3), 1, 5))
    action = policy.act(policy.get_weights(), ROWS, (), (keys, draws)).action
    for row in range(5):
        values = NETWORK.apply(with_noise(NETWORK.get_weights(), keys[row]), ROWS.observation[row : row + 1])[0]
        assert int(action[row]) == int(np.argmax(values))


def test_the_greedy_policy_and_the_shown_distribution_are_those_of_the_means():
    policy, best = noisy(0.2), np.asarray(NETWORK(SAME.observation)[0]).argmax(axis=1)
    np.testing.assert_array_equal(policy.greedy().action(SAME).action, best)
    np.testing.assert_array_equal(policy.distribution(SAME).action.mode(), best)


def test_a_schedule_inside_is_followed():
    policy = NoisyNetworkPolicy(EpsilonGreedyPolicy(QPolicy(STEP, ACTION, NETWORK), lambda step: step / 100))
    assert float(policy.weights_at(NETWORK.get_weights(), 25)[1]) == 0.25


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QPolicy(STEP, ACTION, networks.QNetwork(OBSERVATION, ACTION)), "network with noisy layers"),
        (lambda: GreedyPolicy(QPolicy(STEP, ACTION, NETWORK)), "network with noisy layers"),
        (lambda: QPolicy(STEP, ACTION, NETWORK, emit_log_probability=True), "no closed form"),
    ],
)
def test_policies_that_cannot_be_made_noisy_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        NoisyNetworkPolicy(make())
