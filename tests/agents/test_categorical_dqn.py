"""C51: what it learns from, what its errors are, and where the original is not followed."""

import inspect

import jax
import numpy as np
import optax
import pytest

from jaxdaw import networks, testing, trajectories
from jaxdaw.agents import CategoricalDqnAgent, DqnLossInfo
from jaxdaw.errors import ConfigError, MaskError
from jaxdaw.math import element_wise_huber_loss, project_distribution
from jaxdaw.trajectories import StepType

from .batches import ACTION, MASKED, OBSERVATION, STEP, batch, split

ATOMS = np.linspace(-4.0, 4.0, 9, dtype=np.float32)


def make(masked=False, noisy=False, **options):
    network = networks.CategoricalQNetwork(OBSERVATION, ACTION, 9, fc_layer_params=(8,), noisy=noisy)
    options = {"target_update_period": 3, "gamma": 0.9, **options}
    step = trajectories.time_step_spec(MASKED) if masked else STEP
    if masked:
        options["observation_and_action_constraint_splitter"] = split
    return CategoricalDqnAgent(step, ACTION, network, optax.adam(1e-2), min_q_value=-4.0, max_q_value=4.0, **options)


def probabilities(network, observation):
    return np.asarray(jax.nn.softmax(network(observation)[0]))


def expected(agent, frames, best):
    """Cross-entropy and divergence of each row, given the next actions."""
    rows = np.arange(len(frames.reward))
    following = probabilities(agent.target_q_network, frames.observation[:, 1])[rows, best]
    atoms = frames.reward[:, :1] + 0.9 * frames.discount[:, :1] * ATOMS
    target = np.asarray(project_distribution(atoms, following, ATOMS))
    log_p = np.log(probabilities(agent._q_network, frames.observation[:, 0])[rows, frames.action[:, 0]])
    loss = -np.sum(target * log_p, axis=-1)
    return loss, loss + np.sum(target * np.log(np.maximum(target, 1e-30)), axis=-1)


@pytest.mark.parametrize("double", [False, True])
def test_the_loss_is_the_cross_entropy_and_the_error_the_divergence(double):
    agent = make(double=double, target_categorical_q_network=make()._q_network.copy())
    frames = batch()
    chooser = agent._q_network if double else agent.target_q_network
    best = (probabilities(chooser, frames.observation[:, 1]) @ ATOMS).argmax(axis=1)
    loss, divergence = expected(agent, frames, best)
    info = agent.loss(frames)
    assert isinstance(info.extra, DqnLossInfo)
    np.testing.assert_allclose(info.extra.td_loss, loss, rtol=1e-4)
    np.testing.assert_allclose(info.extra.td_error, divergence, rtol=1e-3, atol=1e-5)
    assert np.all(divergence >= 0.0)
    np.testing.assert_allclose(info.loss, loss.mean(), rtol=1e-4)


def test_weights_count():
    agent, frames = make(), batch()
    weights = np.array([0.0, 1.0, 2.0, 0.5], np.float32)
    np.testing.assert_allclose(
        agent.loss(frames, weights).loss, np.mean(weights * agent.loss(frames).extra.td_loss), rtol=1e-5
    )


def test_boundary_frames_teach_nothing_whatever_they_hold():
    agent, frames = make(), batch()
    frames.step_type[1, 0] = StepType.LAST
    before = agent.loss(frames)
    assert float(before.extra.td_loss[1]) == float(before.extra.td_error[1]) == 0.0
    frames.observation[1, 1], frames.reward[1, 0] = 7.0, -100.0
    np.testing.assert_array_equal(agent.loss(frames).loss, before.loss)


def test_truncation_bootstraps_and_termination_does_not():
    """One state, reward 1 for ever, atoms 0, 1/2, ... 4: cut it is worth 1 / (1 - .5) = 2, terminated 1."""
    frames = batch(
        rows=3,
        observation=np.ones((3, 2, 3), np.float32),
        reward=np.ones((3, 2), np.float32),
        next_step_type=np.full((3, 2), StepType.LAST, np.int32),
        action=np.arange(3, dtype=np.int32)[:, None].repeat(2, 1),
    )
    for discount, value in ((1.0, 2.0), (0.0, 1.0)):
        agent = make(gamma=0.5, target_update_period=10)
        ended = frames._replace(discount=np.full((3, 2), discount, np.float32))
        for _ in range(16):
            agent.train_many(jax.tree.map(lambda x: np.stack([x] * 50), ended))
        values = agent.policy.wrapped_policy.values_of(agent._q_network(frames.observation[:1, 0])[0])
        np.testing.assert_allclose(values[0], value, atol=0.05)


@pytest.mark.parametrize("double", [False, True])
def test_the_mask_holds_for_the_next_action(double):
    agent, frames = make(masked=True, double=double), batch()
    mask = np.zeros((4, 2, 3), bool)
    mask[..., 1] = True
    masked = frames._replace(observation={"obs": frames.observation, "mask": mask})
    loss, _ = expected(agent, frames, np.ones(4, int))
    np.testing.assert_allclose(agent.loss(masked).extra.td_loss, loss, rtol=1e-4)


def test_a_state_without_allowed_actions_is_refused_unless_the_episode_ended_there():
    agent, frames = make(masked=True), batch()
    mask = np.ones((4, 2, 3), bool)
    mask[2, 1] = False
    frames = frames._replace(observation={"obs": frames.observation, "mask": mask})
    with pytest.raises(MaskError):
        agent.train(frames)
    frames.discount[2, 0], frames.next_step_type[2, 0] = 0.0, StepType.LAST
    assert np.isfinite(agent.train(frames).loss)


def test_noise_is_drawn_anew_in_every_step_and_not_kept():
    agent, frames = make(noisy=True), batch()
    agent.initialize(seed=1)
    first, again = float(agent.loss(frames).loss), float(agent.loss(frames).loss)
    assert first == again  # of one step
    state = agent.get_state()
    other = agent.loss_info(state._replace(train_step=state.train_step + 1), frames).loss
    assert abs(float(other) - first) > 1e-4
    before = jax.tree.map(np.asarray, agent.get_state().params)
    agent.train(frames)
    moved = jax.tree.map(
        lambda a, b: float(np.abs(a - b).max()), before, jax.tree.map(np.asarray, agent.get_state().params)
    )
    assert max(jax.tree.leaves(moved)) < 0.011  # one step of Adam, and no noise on top
    assert min(jax.tree.leaves(moved)) > 0.0


def test_every_documented_argument_is_there_in_order():
    documented = [
        "time_step_spec", "action_spec", "categorical_q_network", "optimizer",
        "observation_and_action_constraint_splitter", "min_q_value", "max_q_value", "epsilon_greedy", "n_step_update",
        "boltzmann_temperature", "target_categorical_q_network", "target_update_tau", "target_update_period",
        "td_errors_loss_fn", "gamma", "reward_scale_factor", "gradient_clipping", "debug_summaries",
        "summarize_grads_and_vars", "train_step_counter", "name",
    ]  # fmt: skip
    parameters = inspect.signature(CategoricalDqnAgent.__init__).parameters
    assert list(parameters)[1 : len(documented) + 1] == documented
    assert [parameters[name].default for name in ("min_q_value", "max_q_value", "epsilon_greedy")] == [-10.0, 10.0, 0.1]


def test_arguments_without_effect_are_refused():
    with pytest.raises(ConfigError, match="the loss of categorical DQN is the cross-entropy"):
        make(td_errors_loss_fn=element_wise_huber_loss)
    with pytest.raises(ConfigError, match="no closed form"):
        make(noisy=True, emit_log_probability=True)


def test_the_error_is_a_priority_that_training_lowers():
    agent = make()
    frames = testing.random_experience(agent, 16)
    before = np.mean(agent.loss(frames).extra.td_error)
    for _ in range(20):
        agent.train(frames)
    assert np.mean(agent.loss(frames).extra.td_error) < before
