"""Policies over beliefs, against the beliefs themselves and against Thompson samples drawn one by one."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from jaxdaw import networks, specs, trajectories
from jaxdaw.errors import ConfigError
from jaxdaw.networks import EnsembleNetwork, LinearRewardNetwork, QNetwork, Weights
from jaxdaw.policies import EnsembleThompsonSamplingPolicy, LinearThompsonSamplingPolicy, LinearUCBPolicy

OBSERVATION = specs.TensorSpec((3,), np.float32)
MASKED = {"observation": OBSERVATION, "mask": specs.BoundedTensorSpec((4,), np.int32, 0, 1)}
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 3)
RANDOM = np.random.default_rng(0)
SEEN = {
    "observation": RANDOM.normal(size=(3, 3)).astype(np.float32),
    "mask": np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1]], np.int32),
}


def linear() -> LinearRewardNetwork:
    network = LinearRewardNetwork(OBSERVATION, ACTION)
    observation = RANDOM.normal(size=(12, 3)).astype(np.float32)
    action, reward = RANDOM.integers(4, size=12), RANDOM.normal(size=12).astype(np.float32)
    learned = network.learned(network.get_weights().params, observation, action, reward, np.ones(12, np.float32))
    network.set_weights(Weights(learned, {}))
    return network


def make(kind: Any, network: Any, **options: Any) -> Any:
    return kind(
        trajectories.time_step_spec(MASKED),
        ACTION,
        network,
        observation_and_action_constraint_splitter=lambda both: (both["observation"], both["mask"]),
        **options,
    )


def test_ucb_takes_the_highest_allowed_bound_and_reports_it():
    network = linear()
    belief, _ = network(SEEN["observation"])
    fields = ("log_probability", "predicted_rewards_mean", "predicted_rewards_optimistic")
    step = make(LinearUCBPolicy, network, alpha=2.0, emit_policy_info=fields).action(SEEN)
    bound = np.asarray(belief.mean + 2.0 * belief.deviation)
    np.testing.assert_array_equal(step.action, np.argmax(np.where(SEEN["mask"] == 1, bound, -np.inf), axis=-1))
    np.testing.assert_allclose(step.info.predicted_rewards_optimistic, bound, rtol=1e-5)
    np.testing.assert_allclose(step.info.predicted_rewards_mean, belief.mean, rtol=1e-5)
    np.testing.assert_array_equal(step.info.log_probability, 0.0)


def test_ucb_of_equal_bounds_is_the_lowest_action_and_greedy_is_the_mean():
    fresh = make(LinearUCBPolicy, LinearRewardNetwork(OBSERVATION, ACTION), alpha=1.0)
    assert fresh.action(SEEN).action.tolist() == [0, 0, 3]
    network = linear()
    mean = np.asarray(network(SEEN["observation"])[0].mean)
    greedy = make(LinearUCBPolicy, network, alpha=100.0).greedy()
    expected = np.argmax(np.where(SEEN["mask"] == 1, mean, -np.inf), axis=-1)
    np.testing.assert_array_equal(greedy.action(SEEN).action, expected)


def test_thompson_probabilities_are_the_frequencies_of_posterior_samples():
    network = linear()
    policy = make(LinearThompsonSamplingPolicy, network, alpha=0.7, emit_policy_info=("log_probability",))
    distribution = policy.distribution(SEEN).action
    # Coefficients drawn from the posterior N(P^-1 b, 0.7^2 P^-1), arm by arm, in float64.
    root, response = (np.asarray(network.get_weights().params[name], np.float64) for name in ("root", "response"))
    noise = response[:, None] + 0.7 * RANDOM.normal(size=(4, 10**5, 3))
    coefficients = np.einsum("kde,kse->ksd", np.linalg.inv(root), noise)
    samples = np.einsum("bd,ksd->bsk", SEEN["observation"], coefficients)
    best = np.argmax(np.where(SEEN["mask"][:, None] == 1, samples, -np.inf), axis=-1)
    for row in range(3):
        probs = np.asarray(distribution.probs[row], np.float64)
        counts, expected = np.bincount(best[row], minlength=4), probs * 10**5
        assert np.all(counts[SEEN["mask"][row] == 0] == 0)
        assert np.all(probs[SEEN["mask"][row] == 0] == 0)
        likely = expected > 5
        assert ((counts - expected)[likely] ** 2 / expected[likely]).sum() < 30
    step = policy.action(SEEN, seed=1)
    np.testing.assert_allclose(step.info.log_probability, distribution.log_prob(step.action), rtol=1e-5)


def test_thompson_records_value_every_action_without_bias():
    policy = make(LinearThompsonSamplingPolicy, linear(), emit_policy_info=("log_probability",))
    rows = 50_000
    many = {key: np.repeat(value[:1], rows, axis=0) for key, value in SEEN.items()}
    step = policy.action(many, seed=0)
    for action, reward in enumerate((1.0, -2.0, 0.5, 3.0)):
        estimate = np.where(step.action == action, reward * np.exp(-step.info.log_probability.astype(np.float64)), 0.0)
        assert abs(estimate.mean() - reward) < 3 * estimate.std() / np.sqrt(rows)


def test_ensemble_is_the_mean_of_its_members_greedy_choices():
    ensemble = EnsembleNetwork(QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,)), 7)
    policy = make(EnsembleThompsonSamplingPolicy, ensemble, emit_policy_info=("log_probability",))
    members = np.asarray(ensemble.apply_members(ensemble.get_weights(), SEEN["observation"])[0])
    choices = np.argmax(np.where(SEEN["mask"] == 1, members, -np.inf), axis=-1)  # [M, B]
    expected = np.stack([np.bincount(choices[:, row], minlength=4) / 7 for row in range(3)])
    distribution = policy.distribution(SEEN).action
    np.testing.assert_allclose(distribution.probs, expected, rtol=1e-6)
    step = policy.action(SEEN, seed=2)
    np.testing.assert_allclose(np.exp(step.info.log_probability), expected[np.arange(3), step.action], rtol=1e-6)
    best = np.argmax(np.where(SEEN["mask"] == 1, members.mean(0), -np.inf), axis=-1)
    np.testing.assert_array_equal(policy.greedy().action(SEEN).action, best)


def test_constraints_hold_for_every_draw():
    def only_two(observation: Any) -> jax.Array:
        return jax.numpy.broadcast_to(jax.numpy.arange(4) < 2, (observation.shape[0], 4))

    step = trajectories.time_step_spec(OBSERVATION)
    ensemble = EnsembleNetwork(QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,)), 7)
    for policy in (
        LinearThompsonSamplingPolicy(step, ACTION, linear(), constraints=[only_two]),
        EnsembleThompsonSamplingPolicy(step, ACTION, ensemble, constraints=[only_two]),
    ):
        probs = np.asarray(policy.distribution(SEEN["observation"]).action.probs)
        assert np.all(probs[:, 2:] == 0)
        np.testing.assert_allclose(probs.sum(-1), 1.0, rtol=1e-5)


def test_networks_that_do_not_say_how_sure_they_are_are_refused():
    plain = networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,))
    for kind in (LinearUCBPolicy, LinearThompsonSamplingPolicy):
        with pytest.raises(ConfigError, match="how sure"):
            make(kind, plain)
        with pytest.raises(ConfigError, match="alpha"):
            make(kind, linear(), alpha=-1.0)
    with pytest.raises(ConfigError, match="several reward models"):
        make(EnsembleThompsonSamplingPolicy, plain)
