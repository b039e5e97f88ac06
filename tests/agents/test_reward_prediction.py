"""Reward prediction: losses with numbers worked out by hand, both forms of `loss`, arms, counts, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdaw import math, networks, specs
from jaxdaw.agents import GreedyRewardPredictionAgent
from jaxdaw.errors import ConfigError, NonFiniteError, SpecError
from jaxdaw.policies import AbsoluteConstraint, BoltzmannPolicy, PolicyInfo
from jaxdaw.trajectories import StepType, Transition, restart, termination, time_step_spec

from .bandits import (
    ACTION,
    ACTIONS,
    ARMS,
    CONTEXTS,
    OBSERVATION,
    REWARDS,
    constrained,
    costs,
    decisions,
    linear,
    make,
    over_arms,
)

# Predictions (10, 13, 16) and (20, 27, 34); errors 10 - 8 = 2 and 27 - 11 = 16. Along the chain the squared
# differences are 9 + 9 = 18 and 49 + 49 = 98.
LOSSES = {
    "squared": ({}, None, (4 + 256) / 2),
    "weighted": ({}, np.float32([1, 3]), (4 + 3 * 256) / 2),
    "one weight": ({}, np.float32(2), 4 + 256),
    "weight 0": ({}, np.float32([1, 0]), 4 / 2),
    "huber": ({"error_loss_fn": math.element_wise_huber_loss}, None, (1.5 + 15.5) / 2),
    "absolute": ({"error_loss_fn": math.element_wise_absolute_loss}, None, (2 + 16) / 2),
    "chain": ({"laplacian_matrix": math.ordinal_laplacian(3)}, None, 130 + 0.001 * (18 + 98) / 2),
    "chain, weighted": (
        {"laplacian_matrix": math.ordinal_laplacian(3), "laplacian_smoothing_weight": 0.5},
        np.float32([1, 3]),
        (4 + 9 + 3 * (256 + 49)) / 2,
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_loss_of_decisions_and_of_experience(name):
    options, weights, expected = LOSSES[name]
    agent = make(**options)
    np.testing.assert_allclose(agent.loss(CONTEXTS, ACTIONS, REWARDS, weights).loss, expected, rtol=1e-6)
    np.testing.assert_allclose(agent.loss(decisions(), weights).loss, expected, rtol=1e-6)


def test_loss_takes_both_forms_by_name_and_without_a_time_axis():
    agent = make()
    by_name = agent.loss(observations=CONTEXTS, actions=ACTIONS, rewards=REWARDS, weights=np.float32([1, 3]))
    assert float(by_name.loss) == 386.0
    np.testing.assert_array_equal(by_name.extra.loss, [4.0, 256.0])
    assert float(agent.loss(experience=decisions(), training=True).loss) == 130.0
    flat = agent.loss(jax.tree.map(lambda x: x[:, 0], decisions()))
    assert float(flat.loss) == 130.0
    step, following = restart(CONTEXTS, batch_size=2), termination(CONTEXTS, REWARDS)
    transition = Transition(step, agent.policy.action(step)._replace(action=ACTIONS), following)
    np.testing.assert_array_equal(agent.loss(transition).extra.predicted_reward, [10.0, 27.0])


def test_one_step_of_gradient_descent():
    """The gradient of the prediction of row i is 2 e_i / 2 = 2 and 16, at the actions 0 and 1."""
    agent = make()
    assert float(agent.train(decisions()).loss) == 130.0
    kernel, bias = (variable.get_value() for variable in agent.trainable_variables)
    np.testing.assert_allclose(kernel, [[1 - 0.2, 2 - 4.8, 3], [4 - 0.4, 5 - 6.4, 6]], rtol=1e-5)
    np.testing.assert_allclose(bias, [1 - 0.2, 1 - 1.6, 1], rtol=1e-5)


def test_more_frames_are_more_decisions():
    agent = make()
    twice = jax.tree.map(lambda x: np.concatenate([x, x], axis=1), decisions())
    info = agent.train(twice, np.float32([[1, 1], [3, 0]]))
    np.testing.assert_allclose(info.loss, (4 + 4 + 3 * 256) / 4)
    assert info.extra.loss.shape == (2, 2)
    assert agent.train_sequence_length == 1


def test_boundary_frames_teach_nothing_whatever_they_hold():
    frames = decisions(reward=np.float32([8, np.inf]))
    frames.step_type[1] = StepType.LAST
    agent = make(GreedyRewardPredictionAgent, num_samples_list=[0, 0, 0])
    state = agent.get_state()
    stepped, info = jax.jit(agent.update)(state, frames)
    np.testing.assert_array_equal(info.extra.loss, [[4.0], [0.0]])
    np.testing.assert_array_equal(stepped.memory.num_samples, [1, 0, 0])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(stepped.params))


def test_a_network_that_knows_the_noise_is_trained_by_the_likelihood():
    """Of a normal with log-variance l: e**2 / (2 exp(l)) + l / 2 and a constant; weights leave the last term alone."""
    network = networks.HeteroscedasticQNetwork(OBSERVATION, ACTION, fc_layer_params=None)
    agent = make(network=network)
    prediction, _ = network(CONTEXTS)
    rows = np.arange(2)
    error, log_variance = (np.asarray(x)[rows, ACTIONS] for x in (prediction.mean, prediction.log_variance))
    terms = np.square(error - REWARDS) / (2 * np.exp(log_variance))
    info = agent.loss(decisions(), np.float32([1, 3]))
    np.testing.assert_allclose(info.loss, np.mean(terms * [1, 3] + log_variance / 2), rtol=1e-5)
    np.testing.assert_allclose(info.extra.loss[:, 0], terms + log_variance / 2, rtol=1e-5)


def test_log_loss_learns_the_probabilities_of_binary_rewards():
    """One context; action a pays 1 in 20, 50 and 90 of 100 draws: the likeliest predictions are these shares."""
    network = networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=None, q_layer_activation_fn=jax.nn.sigmoid)
    agent = make(network=network, optimizer=optax.adam(0.3), error_loss_fn=math.element_wise_log_loss)
    action = np.int32(np.repeat([0, 1, 2], 100))
    reward = np.float32(np.concatenate([np.arange(100) < pays for pays in (20, 50, 90)]))
    frames = decisions(np.ones((300, 2), np.float32), action, reward)
    agent.train_many(jax.tree.map(lambda x: np.stack([x] * 300), frames))
    np.testing.assert_allclose(network(np.ones((1, 2), np.float32))[0], [[0.2, 0.5, 0.9]], atol=2e-3)


def test_losses_are_called_as_their_parameters_say():
    def with_weights(labels, predictions, weights, reduction="mean"):
        assert (weights, reduction) == (1.0, "none")
        return jnp.square(labels - predictions)

    assert float(make(error_loss_fn=with_weights).loss(decisions()).loss) == 130.0
    assert float(make(error_loss_fn=lambda labels, predictions: labels + 0 * predictions).loss(decisions()).loss) == 9.5
    with pytest.raises(SpecError, match="a loss for each example"):
        make(error_loss_fn=lambda labels, predictions: jnp.mean(labels - predictions)).loss(decisions())
    with pytest.raises(ConfigError, match="error_loss_fn is not a function"):
        make(error_loss_fn="huber")


def test_samples_are_counted_and_refused_steps_are_not():
    agent = make(GreedyRewardPredictionAgent, num_samples_list=[5, 0, 0], on_nan="ignore")
    agent.train(decisions())
    agent.train(decisions(reward=np.float32([np.nan, 0])))
    agent.train(decisions(action=np.int32([1, 1])))
    np.testing.assert_array_equal(agent.num_samples, [6, 3, 0])
    assert make().num_samples.shape == (0,)
    with pytest.raises(ConfigError, match="does not count the actions"):
        make(GreedyRewardPredictionAgent, num_samples_list=[0, 0])


def test_constraints_hold_for_agents():
    """Of (10, 13, 16) only action 1 is feasible, of (20, 27, 34) the first two: 13 and 27 are the best of these."""
    feasible = jnp.array([[False, True, False], [True, True, False]])
    agent = make(epsilon=1.0, constraints=(lambda observation: feasible,))
    step = restart(CONTEXTS, batch_size=2)
    np.testing.assert_array_equal(agent.policy.greedy().action(step).action, [1, 1])
    np.testing.assert_allclose(agent.policy.distribution(step).action.probs, [[0, 1, 0], [0.5, 0.5, 0]])


TARGETS = np.float32([[8, 2], [11, 5]])


def test_the_errors_of_a_constraint_are_added_and_weighted_alike():
    """Costs 1 and 4 are predicted where 2 and 5 come: 1 each beside 4 and 256. The reference's numbers."""
    agent = constrained(AbsoluteConstraint(costs(), absolute_value=1.5))
    assert float(agent.loss(CONTEXTS, ACTIONS, TARGETS).loss) == 131.0
    assert float(agent.loss(CONTEXTS, ACTIONS, TARGETS, np.float32([1, 3])).loss) == 388.0
    info = agent.train(decisions(reward=TARGETS))
    assert float(info.loss) == 131.0
    np.testing.assert_array_equal(info.extra.constraint_loss[..., 0], [[1.0], [1.0]])
    kernel, bias = (variable.get_value() for variable in agent.trainable_variables[2:])
    # errors -1 and -1: the gradient of the prediction of row i is -2 / 2, at the actions 0 and 1
    np.testing.assert_allclose(kernel, [[1 + 0.1, 1 + 0.3, 0], [0.2, 0.4, 0]], rtol=1e-5)
    np.testing.assert_allclose(bias, [0.1, 1.1, 1], rtol=1e-5)
    reward_kernel = agent.trainable_variables[0].get_value()
    np.testing.assert_allclose(reward_kernel, [[1 - 0.2, 2 - 4.8, 3], [4 - 0.4, 5 - 6.4, 6]], rtol=1e-5)


def test_a_constraint_is_learned_along_and_then_kept():
    """Rewards and costs rise with the action's number; the cost is to stay below 1."""
    random = np.random.default_rng(0)
    contexts, action = random.normal(size=(512, 2)).astype(np.float32), random.integers(0, 3, 512).astype(np.int32)
    cost = lambda contexts, action: 1.5 * action - contexts[:, 0]  # noqa: E731
    both = np.stack([action + contexts[:, 1], cost(contexts, action)], axis=1).astype(np.float32)
    small = lambda: networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=None)  # noqa: E731
    constraint = AbsoluteConstraint(small(), comparator_fn=jnp.less, absolute_value=1.0)
    agent = constrained(constraint, network=small(), optimizer=optax.adam(0.1))
    agent.train_many(jax.tree.map(lambda x: np.stack([x] * 300), decisions(contexts, action, both)))
    every = np.stack([cost(contexts, number) for number in range(3)], axis=1)
    sure = np.abs(every - 1.0).min(axis=1) > 0.05  # the prediction is a line, and close to it
    feasible = every < 1.0
    feasible[~feasible.any(axis=1)] = True
    best = np.where(feasible, np.arange(3), -1).max(axis=1)
    probs = np.full((512, 3), 0.3) * feasible / feasible.sum(axis=1, keepdims=True) + 0.7 * np.eye(3)[best]
    step = agent.time_step_spec._replace(
        step_type=np.zeros(512, np.int32), reward=0 * both, discount=np.ones(512, np.float32), observation=contexts
    )
    found = np.asarray(agent.policy.distribution(step).action.probs)
    np.testing.assert_allclose(found[sure], probs[sure], atol=1e-6)


def test_constraints_of_arms_learn_from_the_chosen_one_and_mask_them_all():
    random = np.random.default_rng(0)
    observation = {
        "global": random.normal(size=(6, 2)).astype(np.float32),
        "per_arm": random.normal(size=(6, 3, 2)).astype(np.float32),
        "num_actions": np.int32([1, 2, 3, 1, 2, 3]),
    }
    costs_of = networks.GlobalAndArmCommonTowerNetwork(ARMS, (4,), (4,), (4,), rngs=1)
    predicted, _ = costs_of({key: observation[key] for key in ("global", "per_arm")})
    constraint = AbsoluteConstraint(costs_of, comparator_fn=jnp.less, absolute_value=float(np.median(predicted)))
    step_spec = time_step_spec(ARMS, specs.TensorSpec((2,), np.float32, "reward"))
    agent = over_arms(step_spec, constraints=(constraint,))
    step = restart(observation, 6, step_spec.reward)
    exists = np.arange(3) < observation["num_actions"][:, None]
    left = exists & (np.asarray(predicted) < np.median(predicted))
    left[~left.any(axis=1)] = exists[~left.any(axis=1)]
    np.testing.assert_array_equal(np.asarray(agent.policy.distribution(step).action.probs) > 0, left)
    action, targets = np.int32([0, 1, 2, 0, 0, 1]), random.normal(size=(6, 2)).astype(np.float32)
    frames = decisions(np.zeros((6, 1)), action, targets)
    frames = frames._replace(observation=jax.tree.map(lambda x: x[:, None], observation))
    expected = np.square(np.asarray(predicted)[np.arange(6), action] - targets[:, 1])
    np.testing.assert_allclose(agent.loss(frames).extra.constraint_loss[:, 0, 0], expected, rtol=1e-4, atol=1e-6)


def test_boundary_frames_and_what_is_not_finite_teach_no_constraint():
    agent = constrained(AbsoluteConstraint(costs()))
    frames = decisions(reward=np.float32([[8, 2], [11, np.nan]]))
    with pytest.raises(NonFiniteError, match=r"\.reward holds NaN"):
        agent.train(frames)
    frames.step_type[1] = StepType.LAST
    _, info = jax.jit(agent.update)(agent.get_state(), frames)
    np.testing.assert_array_equal(info.extra.loss, [[5.0], [0.0]])


def test_a_population_learns_constraints_of_its_own():
    agent = constrained(AbsoluteConstraint(networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(3,))))
    states = jax.vmap(agent.init)(jax.random.split(jax.random.key(0), 2))
    states, info = jax.vmap(agent.update, in_axes=(0, None))(states, decisions(reward=TARGETS))
    assert info.extra.constraint_loss[0, 0, 0, 0] != info.extra.constraint_loss[1, 0, 0, 0]
    weights = agent.policy_weights(jax.tree.map(lambda leaf: leaf[0], states))
    assert jax.tree.structure(weights) == jax.tree.structure(agent.policy.get_weights())


def test_a_reward_without_targets_is_refused():
    with pytest.raises(SpecError, match="does not hold what its constraints are to learn"):
        make(constraints=(AbsoluteConstraint(costs()),))
    with pytest.raises(SpecError, match="rewards given to"):
        constrained(AbsoluteConstraint(costs())).loss(CONTEXTS, ACTIONS, REWARDS)


def test_an_explorer_of_one_s_own():
    agent = make(GreedyRewardPredictionAgent, explorer=lambda policy: BoltzmannPolicy(policy, 3.0))
    probs = agent.policy.distribution(restart(CONTEXTS, batch_size=2)).action.probs
    np.testing.assert_allclose(probs[0], np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum(), rtol=1e-5)


def test_arms_are_learned_from_the_chosen_one_alone():
    agent = over_arms(emit_policy_info=("log_probability",))
    random = np.random.default_rng(0)
    observation = {
        "global": random.normal(size=(6, 2)).astype(np.float32),
        "per_arm": random.normal(size=(6, 3, 2)).astype(np.float32),
        "num_actions": np.int32([1, 2, 3, 1, 2, 3]),
    }
    step = restart(observation, batch_size=6)
    taken = agent.collect_policy.action(step, seed=1)
    assert (taken.action < observation["num_actions"]).all()
    reward = random.normal(size=6).astype(np.float32)
    flat = decisions(action=taken.action, reward=reward, observation=np.zeros((6, 1)))
    one_frame = lambda nest: jax.tree.map(lambda x: x[:, None], nest)  # noqa: E731
    collected = flat._replace(observation=one_frame(observation), policy_info=one_frame(taken.info))
    narrow = agent.preprocess_sequence(collected)
    assert sorted(narrow.observation) == ["global", "num_actions"]
    specs.check(narrow, agent.training_data_spec, 2, check_bounds=False)
    values, _ = agent.reward_network({key: observation[key] for key in ("global", "per_arm")})
    expected = np.square(np.asarray(values)[np.arange(6), taken.action] - reward)
    for frames in (collected, narrow):
        np.testing.assert_allclose(agent.loss(frames).extra.loss[:, 0], expected, rtol=1e-4, atol=1e-6)
    logged = collected._replace(policy_info=PolicyInfo(log_probability=collected.policy_info.log_probability))
    np.testing.assert_allclose(agent.train(logged).extra.loss[:, 0], expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(ConfigError, match="the same in every decision"):
        over_arms(laplacian_matrix=math.ordinal_laplacian(3))


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("observations given to", lambda agent: agent.loss(CONTEXTS[:, :1], ACTIONS, REWARDS)),
        ("actions given to", lambda agent: agent.loss(CONTEXTS, ACTIONS[:, None], REWARDS)),
        ("actions given to", lambda agent: agent.loss(CONTEXTS, ACTIONS + 2, REWARDS)),
        ("rewards given to", lambda agent: agent.loss(CONTEXTS, ACTIONS, REWARDS[:1])),
        ("weights must be", lambda agent: agent.loss(CONTEXTS, ACTIONS, REWARDS, np.ones((2, 1), np.float32))),
        ("trains on a Trajectory", lambda agent: agent.loss(CONTEXTS, ACTIONS)),
        ("action", lambda agent: agent.loss(decisions(action=np.int64([0, 1])))),
    ],
)
def test_loss_refuses(match, call):
    with pytest.raises(SpecError, match=match):
        call(make())


@pytest.mark.parametrize("leaf", ["observation", "reward"])
@pytest.mark.parametrize("array", [np.asarray, jnp.asarray], ids=["NumPy", "JAX"])
def test_loss_of_decisions_refuses_what_is_not_finite_unless_it_is_traced(leaf, array):
    agent = make()
    agent.initialize()
    contexts, rewards = CONTEXTS.copy(), REWARDS.copy()
    (contexts if leaf == "observation" else rewards)[1] = np.inf
    given = array(contexts), ACTIONS, array(rewards)
    with pytest.raises(NonFiniteError, match=rf"\.{leaf} holds NaN or infinity in 1 of 2 rows \(first row 1\)"):
        agent.loss(*given)
    traced = jax.jit(lambda *rows: agent.loss(*rows).loss)
    assert not np.isfinite(traced(*given))
    assert float(traced(CONTEXTS, ACTIONS, REWARDS)) == 130.0
    frames = decisions(contexts, reward=rewards)
    assert not np.isfinite(jax.jit(lambda batch: agent.loss(batch).loss)(frames))
    assert not np.isfinite(make(on_nan="skip").loss(*given).loss)


def test_summaries_hold_predictions():
    agent = make(GreedyRewardPredictionAgent, network=linear(), debug_summaries=True, summary_interval=1)
    agent.train(decisions())
    assert float(agent.summaries["loss/predicted_reward/mean"]) == (10 + 27) / 2
