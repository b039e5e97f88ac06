"""Linear bandits against ridge regression in NumPy float64, and on problems whose answer is known."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from jaxdaw import networks, specs, testing, trajectories
from jaxdaw.agents import LinearThompsonSamplingAgent, LinearUCBAgent
from jaxdaw.errors import ConfigError, NonFiniteError, SpecError
from jaxdaw.policies import AbsoluteConstraint
from jaxdaw.trajectories import StepType

from .batches import ACTION, OBSERVATION, STEP, assert_same, batch, split, weights_of

BANDITS = [LinearUCBAgent, LinearThompsonSamplingAgent]
ARMS = {"global": specs.TensorSpec((2,), np.float32), "per_arm": specs.TensorSpec((3, 4), np.float32)}


def ridge(experience: Any, weights: np.ndarray, prior: float = 1.0) -> np.ndarray:
    """Returns the coefficients of each action's ridge regression over frames `[B, T]` with weights `[B, T]`."""
    found = []
    for action in range(3):
        mine = np.where(experience.action == action, weights, 0.0).ravel()
        features = experience.observation.reshape(-1, 3).astype(np.float64)
        precision = prior * np.eye(3) + (mine[:, None] * features).T @ features
        found.append(np.linalg.solve(precision, features.T @ (mine * experience.reward.ravel())))
    return np.array(found)


@pytest.mark.parametrize("kind", BANDITS)
def test_train_is_ridge_regression_whatever_the_batches(kind: Any):
    whole = batch(rows=40, frames=2, seed=1)
    at_once, in_parts = kind(STEP, ACTION, tikhonov_weight=0.7), kind(STEP, ACTION, tikhonov_weight=0.7)
    weights = np.random.default_rng(0).uniform(0, 2, (40, 2)).astype(np.float32)
    at_once.train(whole, weights)
    for start in range(0, 40, 8):
        rows = slice(start, start + 8)
        in_parts.train(jax.tree.map(lambda x, rows=rows: x[rows], whole), weights[rows])
    expected = ridge(whole, weights, 0.7)
    for agent in (at_once, in_parts):
        np.testing.assert_allclose(agent.reward_network.coefficients(), expected, rtol=1e-3, atol=1e-4)


def test_weights_for_each_row_or_for_all_count_as_that_many_decisions():
    experience = batch(rows=6, frames=2, seed=2)
    for weights in (np.float32(3.0), np.arange(6, dtype=np.float32)):
        agent = LinearUCBAgent(STEP, ACTION)
        agent.train(experience, weights)
        each = np.broadcast_to(np.reshape(weights, (-1, 1)), (6, 2))
        np.testing.assert_allclose(agent.reward_network.coefficients(), ridge(experience, each), rtol=1e-3, atol=1e-4)


def test_boundary_frames_teach_nothing():
    experience = batch(rows=6, frames=2, seed=3)
    experience.step_type[:, 1] = StepType.LAST
    experience.reward[:, 1] = 1e10
    agent = LinearUCBAgent(STEP, ACTION)
    agent.train(experience)
    real = np.broadcast_to(np.array([1.0, 0.0]), (6, 2))
    expected = ridge(experience._replace(reward=np.where(real, experience.reward, 0.0)), real)
    np.testing.assert_allclose(agent.reward_network.coefficients(), expected, rtol=1e-3, atol=1e-4)


def test_loss_is_the_squared_error_before_the_batch():
    experience = batch(rows=6, frames=1, seed=4)
    agent = LinearUCBAgent(STEP, ACTION)
    np.testing.assert_allclose(agent.train(experience).loss, np.mean(experience.reward**2), rtol=1e-5)  # the prior is 0
    coefficients = np.asarray(agent.reward_network.coefficients(), np.float64)
    predicted = np.einsum("btd,btd->bt", experience.observation, coefficients[experience.action])
    np.testing.assert_allclose(agent.train(experience).loss, np.mean((experience.reward - predicted) ** 2), rtol=1e-3)


def test_forgetting_follows_a_change():
    experience = batch(rows=64, frames=1, seed=5)
    truth = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    reward = np.einsum("btd,btd->bt", experience.observation, truth[experience.action]).astype(np.float32)
    agent = LinearUCBAgent(STEP, ACTION, gamma=0.5)
    for sign in (1.0, -1.0):
        for _ in range(12):
            agent.train(experience._replace(reward=sign * reward))
        np.testing.assert_allclose(agent.reward_network.coefficients(), sign * truth, atol=0.05)


def test_features_of_arms_are_learned_from_the_chosen_ones():
    random, step = np.random.default_rng(6), trajectories.time_step_spec(ARMS)
    agent = LinearUCBAgent(step, ACTION, accepts_per_arm_features=True, alpha=0.0)
    observation = specs.map_structure(lambda s: random.normal(size=(50, *s.shape)).astype(np.float32), ARMS)
    truth = np.array([0.5, 0.0, 1.0, -2.0, 0.0, 3.0])
    action = agent.policy.action(observation, seed=0)
    taken = random.integers(3, size=50).astype(np.int32)
    chosen = observation["per_arm"][np.arange(50), taken]
    reward = (np.concatenate([observation["global"], chosen], axis=1) @ truth).astype(np.float32)
    made = testing.random_experience(agent, 50, 1)
    info = action.info._replace(chosen_arm_features=chosen[:, None])
    experience = made._replace(
        observation={"global": observation["global"][:, None]},
        action=taken[:, None],
        reward=reward[:, None],
        policy_info=info,
    )
    for _ in range(200):
        agent.train(experience)
    np.testing.assert_allclose(agent.reward_network.coefficients()[0], truth, atol=0.01)
    values = (
        np.concatenate([np.repeat(observation["global"][:, None], 3, axis=1), observation["per_arm"]], axis=-1) @ truth
    )
    np.testing.assert_array_equal(agent.policy.action(observation).action, np.argmax(values, axis=-1))


@pytest.mark.parametrize("kind", BANDITS)
def test_masks_hold_and_a_batch_that_is_not_finite_changes_nothing(kind: Any):
    masked = {"obs": OBSERVATION, "mask": specs.BoundedTensorSpec((3,), np.bool_, False, True, "mask")}
    step = trajectories.time_step_spec(masked)
    agent = kind(step, ACTION, observation_and_action_constraint_splitter=split, num_samples_list=(0, 0, 0))
    made = testing.random_experience(agent, 5, 1)
    before = weights_of(agent)
    spoiled = made.reward.copy()
    spoiled[1] = np.inf
    with pytest.raises(NonFiniteError):
        agent.train(made._replace(reward=spoiled))
    assert_same(before, weights_of(agent))
    agent.train(made)
    assert agent.num_samples.tolist() == np.bincount(made.action.ravel(), minlength=3).tolist()
    seen = {"obs": np.zeros((64, 3), np.float32), "mask": np.tile([False, True, True], (64, 1))}
    assert set(agent.policy.action(seen, seed=0).action.tolist()) <= {1, 2}
    wrong = made._replace(action=np.full_like(made.action, 7))
    with pytest.raises(SpecError, match="action"):
        agent.train(wrong)


def test_a_network_can_be_shared_and_others_are_refused():
    network = networks.LinearRewardNetwork(OBSERVATION, ACTION)
    agent = LinearUCBAgent(STEP, ACTION, network)
    other = LinearThompsonSamplingAgent(STEP, ACTION, network)
    agent.train(batch(rows=4, frames=1))
    np.testing.assert_array_equal(other.policy.get_weights().params["root"], network.get_weights().params["root"])
    with pytest.raises(ConfigError, match="not linear"):
        LinearUCBAgent(STEP, ACTION, networks.QNetwork(OBSERVATION, ACTION))
    constraint = AbsoluteConstraint(networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=None))
    with pytest.raises(ConfigError, match="takes no gradients"):
        LinearUCBAgent(STEP, ACTION, constraints=(constraint,))
    for options in ({"alpha": -1.0}, {"gamma": 1.5}, {"tikhonov_weight": 0.0}):
        with pytest.raises(ConfigError):
            LinearUCBAgent(STEP, ACTION, **options)
