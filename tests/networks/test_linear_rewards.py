"""Linear reward networks against ridge regression in NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.networks import LinearRewardNetwork, RewardBelief, Weights

NESTED = {"a": specs.TensorSpec((2,), np.float32), "b": specs.TensorSpec((1, 2), np.float32)}
ARMS = {"global": specs.TensorSpec((2,), np.float32), "per_arm": specs.TensorSpec((3, 4), np.float32)}
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 2)
RANDOM = np.random.default_rng(0)


def draw(spec, rows: int):
    return specs.map_structure(lambda leaf: RANDOM.normal(size=(rows, *leaf.shape)).astype(np.float32), spec)


def ridge(features, rewards, weights, probes, prior):
    precision = prior * np.eye(features.shape[1]) + (weights[:, None] * features).T @ features
    mean = probes @ np.linalg.solve(precision, features.T @ (weights * rewards))
    return mean, np.sqrt(np.einsum("nd,nd->n", probes, np.linalg.solve(precision, probes.T).T))


@pytest.mark.parametrize("add_bias", [False, True])
def test_each_action_has_a_ridge_regression_of_its_own(add_bias: bool):
    network = LinearRewardNetwork(NESTED, ACTION, tikhonov_weight=0.5, add_bias=add_bias)
    observation, probe = draw(NESTED, 40), draw(NESTED, 6)
    action, reward = RANDOM.integers(2, size=40), RANDOM.normal(size=40).astype(np.float32)  # action 2 is never taken
    weights = RANDOM.uniform(0, 2, 40).astype(np.float32)
    params = network.learned(network.get_weights().params, observation, action, reward, weights)
    belief, _, _ = network.apply(Weights(params, {}), probe)

    def flat(nest):
        columns = [nest["a"], nest["b"].reshape(-1, 2)] + ([np.ones((len(nest["a"]), 1))] if add_bias else [])
        return np.concatenate(columns, axis=1).astype(np.float64)

    for arm in range(3):
        mine = action == arm
        mean, deviation = ridge(flat(observation)[mine], reward[mine], weights[mine], flat(probe), 0.5)
        np.testing.assert_allclose(belief.mean[:, arm], mean, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(belief.deviation[:, arm], deviation, rtol=1e-4)
    network.set_weights(Weights(params, {}))
    np.testing.assert_allclose(flat(probe) @ np.asarray(network.coefficients()).T, belief.mean, rtol=1e-4, atol=1e-4)


def test_arms_share_one_ridge_regression_over_context_and_arm():
    network = LinearRewardNetwork(ARMS, ACTION, accepts_per_arm_features=True)
    observation, probe = draw(ARMS, 30), draw(ARMS, 5)
    action, reward = RANDOM.integers(3, size=30), RANDOM.normal(size=30).astype(np.float32)
    params = network.learned(network.get_weights().params, observation, action, reward, jnp.ones(30))
    chosen = observation["per_arm"][np.arange(30), action]
    only = {"global": observation["global"], "per_arm": chosen[:, None]}
    of_chosen = network.learned(network.get_weights().params, only, np.zeros(30, int), reward, jnp.ones(30))
    jax.tree.map(np.testing.assert_array_equal, params, of_chosen)
    belief, _, _ = network.apply(Weights(params, {}), probe)
    features = np.concatenate([observation["global"], chosen], axis=1).astype(np.float64)
    for arm in range(3):
        seen = np.concatenate([probe["global"], probe["per_arm"][:, arm]], axis=1).astype(np.float64)
        mean, deviation = ridge(features, reward, np.ones(30), seen, 1.0)
        np.testing.assert_allclose(belief.mean[:, arm], mean, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(belief.deviation[:, arm], deviation, rtol=1e-4)
    fewer = {**probe, "per_arm": probe["per_arm"][:, :2]}
    np.testing.assert_allclose(network.apply(Weights(params, {}), fewer)[0].mean, belief.mean[:, :2], rtol=1e-5)


def test_time_axes_are_rows():
    network = LinearRewardNetwork(ARMS["global"], ACTION)
    observation = RANDOM.normal(size=(4, 2, 2)).astype(np.float32)
    belief, state = network(observation)
    assert isinstance(belief, RewardBelief)
    assert belief.mean.shape == belief.deviation.shape == (4, 2, 3)
    assert state == ()
    np.testing.assert_allclose(belief.deviation[..., 0], np.linalg.norm(observation, axis=-1), rtol=1e-5)  # the prior
    np.testing.assert_allclose(belief.deviation[:, 0], network(observation[:, 0])[0].deviation, rtol=1e-6)


def test_constructor_refuses():
    with pytest.raises(ConfigError, match="needs a prior"):
        LinearRewardNetwork(NESTED, ACTION, tikhonov_weight=0.0)
    with pytest.raises(SpecError, match="features of arms"):
        LinearRewardNetwork(NESTED, ACTION, accepts_per_arm_features=True)
