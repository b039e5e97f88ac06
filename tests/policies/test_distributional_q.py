"""Policies by distributions of the return: their values are means, and they behave as every Q policy."""

import numpy as np
import pytest

from jaxdaw import networks, specs, testing
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.policies import CategoricalQPolicy, EpsilonGreedyPolicy, QuantileQPolicy

from .test_base import ACTION, OBSERVATION, ROWS, STEP


def categorical(num_atoms=5, low=-2.0, high=2.0, **options):
    network = networks.CategoricalQNetwork(OBSERVATION, ACTION, num_atoms)
    return CategoricalQPolicy(STEP, ACTION, network, low, high, **options), network


def quantile(**options):
    network = networks.QuantileQNetwork(OBSERVATION, ACTION, 5)
    return QuantileQPolicy(STEP, ACTION, network, **options), network


def test_values_are_means_over_atoms():
    policy, network = categorical()
    logits = np.asarray(network(ROWS.observation)[0], np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    values = probabilities @ np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    np.testing.assert_allclose(policy.distribution(ROWS).action.logits, values, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(policy.greedy().action(ROWS).action, values.argmax(axis=1))


def test_values_are_means_over_quantiles():
    policy, network = quantile()
    values = np.asarray(network(ROWS.observation)[0]).mean(axis=-1)
    np.testing.assert_allclose(policy.distribution(ROWS).action.logits, values, rtol=1e-5, atol=1e-6)


def test_a_temperature_divides_the_values():
    hot, network = categorical(temperature=0.25)
    plain = CategoricalQPolicy(STEP, ACTION, network, -2.0, 2.0)
    want = 4.0 * np.asarray(plain.distribution(ROWS).action.logits)
    np.testing.assert_allclose(hot.distribution(ROWS).action.logits, want, rtol=1e-5)
    with pytest.raises(ConfigError, match="temperature is outside its range"):
        categorical(temperature=0.0)


@pytest.mark.parametrize("check", testing.POLICY_CHECKS, ids=lambda check: check.__name__)
def test_exploration_around_it_conforms(check):
    check(lambda: EpsilonGreedyPolicy(categorical(emit_log_probability=True)[0], 0.4))


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, -2.0), (0.0, np.inf), (np.nan, 1.0)])
def test_a_range_that_is_none_is_refused(low, high):
    with pytest.raises(ConfigError, match="min_q_value < max_q_value"):
        categorical(low=low, high=high)


def test_networks_of_another_kind_are_refused():
    with pytest.raises(TypeError, match=r"CategoricalQNetwork\(observation_spec"):
        CategoricalQPolicy(STEP, ACTION, networks.QNetwork(OBSERVATION, ACTION), -1.0, 1.0)
    with pytest.raises(TypeError, match=r"QuantileQNetwork\(observation_spec"):
        QuantileQPolicy(STEP, ACTION, networks.QNetwork(OBSERVATION, ACTION))
    other = networks.QuantileQNetwork(OBSERVATION, specs.BoundedTensorSpec((), np.int32, 0, 1))
    with pytest.raises(SpecError, match=r"expected  float32 \(4, K\), K of 1 or more +got  float32 \(2, 200\)"):
        QuantileQPolicy(STEP, ACTION, other)
    with pytest.raises(SpecError, match="K of 2 or more"):
        CategoricalQPolicy(STEP, ACTION, networks.QuantileQNetwork(OBSERVATION, ACTION, 1), -1.0, 1.0)
