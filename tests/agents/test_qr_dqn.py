"""QR-DQN: its loss against a loop in float64, and what it learns from."""

import jax
import numpy as np
import optax
import pytest

from jaxdaw import networks, trajectories
from jaxdaw.agents import QrDqnAgent
from jaxdaw.errors import ConfigError, MaskError, SpecError
from jaxdaw.math import element_wise_huber_loss
from jaxdaw.trajectories import StepType

from .batches import ACTION, MASKED, OBSERVATION, STEP, batch, split


def make(masked=False, network=None, **options):
    if network is None:
        network = networks.QuantileQNetwork(OBSERVATION, ACTION, 5, fc_layer_params=(8,))
    options = {"target_update_period": 3, "gamma": 0.9, **options}
    step = trajectories.time_step_spec(MASKED) if masked else STEP
    if masked:
        options["observation_and_action_constraint_splitter"] = split
    return QrDqnAgent(step, ACTION, network, optax.adam(1e-2), **options)


def quantiles(network, observation):
    return np.asarray(network(observation)[0], np.float64)


def loss_by_hand(target, prediction, delta=1.0):
    total = 0.0
    for i, theta in enumerate(prediction):
        for sample in target:
            u = sample - theta
            huber = 0.5 * u**2 if abs(u) <= delta else delta * (abs(u) - 0.5 * delta)
            total += abs((i + 0.5) / len(prediction) - (u < 0)) * huber / delta / len(target)
    return total


def expected(agent, frames, best, delta=1.0):
    """Losses of the rows, and mean targets minus mean predictions, given the next actions."""
    rows = np.arange(len(frames.reward))
    following = quantiles(agent.target_q_network, frames.observation[:, 1])[rows, best]
    target = frames.reward[:, :1] + 0.9 * frames.discount[:, :1] * following
    prediction = quantiles(agent._q_network, frames.observation[:, 0])[rows, frames.action[:, 0]]
    loss = [loss_by_hand(t, p, delta) for t, p in zip(target, prediction, strict=True)]
    return np.array(loss), target.mean(axis=1) - prediction.mean(axis=1)


@pytest.mark.parametrize("double", [False, True])
def test_the_loss_is_that_of_quantile_regression(double):
    agent = make(double=double, huber_delta=0.5, target_quantile_q_network=make()._q_network.copy())
    frames = batch()
    chooser = agent._q_network if double else agent.target_q_network
    best = quantiles(chooser, frames.observation[:, 1]).mean(axis=-1).argmax(axis=1)
    loss, error = expected(agent, frames, best, 0.5)
    info = agent.loss(frames)
    np.testing.assert_allclose(info.extra.td_loss, loss, rtol=1e-4)
    np.testing.assert_allclose(info.extra.td_error, error, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(agent.loss(frames, np.full(4, 2, np.float32)).loss, 2 * loss.mean(), rtol=1e-4)


def test_boundary_frames_teach_nothing_whatever_they_hold():
    agent, frames = make(), batch()
    frames.step_type[1, 0] = StepType.LAST
    before = agent.loss(frames)
    assert float(before.extra.td_loss[1]) == float(before.extra.td_error[1]) == 0.0
    frames.observation[1, 1], frames.reward[1, 0] = 7.0, -100.0
    np.testing.assert_array_equal(agent.loss(frames).loss, before.loss)


def test_truncation_bootstraps_and_termination_does_not():
    """One state, reward 1 for ever: cut by a limit it is worth 1 / (1 - .5) = 2, terminated it is worth 1."""
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
        np.testing.assert_allclose(agent._q_network(frames.observation[:1, 0])[0], value, atol=0.05)


def test_quantiles_of_a_random_reward_are_learned():
    """Rewards -1 and 1, equally often, and the end: the quantiles of 1/10, 3/10 are near -1, of 7/10, 9/10 near 1."""
    reward = np.where(np.arange(8) % 2 == 0, -1.0, 1.0).astype(np.float32)[:, None].repeat(2, 1)
    frames = batch(
        rows=8,
        observation=np.ones((8, 2, 3), np.float32),
        reward=reward,
        next_step_type=np.full((8, 2), StepType.LAST, np.int32),
        discount=np.zeros((8, 2), np.float32),
        action=np.zeros((8, 2), np.int32),
    )
    agent = make(huber_delta=0.1)
    for _ in range(12):
        agent.train_many(jax.tree.map(lambda x: np.stack([x] * 50), frames))
    found = np.sort(np.asarray(agent._q_network(frames.observation[:1, 0])[0])[0, 0])
    np.testing.assert_allclose(found[[0, 1, 3, 4]], [-1.0, -1.0, 1.0, 1.0], atol=0.15)


def test_the_mask_holds_for_the_next_action():
    agent, frames = make(masked=True), batch()
    mask = np.zeros((4, 2, 3), bool)
    mask[..., 1] = True
    masked = frames._replace(observation={"obs": frames.observation, "mask": mask})
    np.testing.assert_allclose(agent.loss(masked).extra.td_loss, expected(agent, frames, np.ones(4, int))[0], rtol=1e-4)
    mask[2, 1] = False
    with pytest.raises(MaskError):
        agent.train(masked)


@pytest.mark.parametrize(
    ("make_agent", "error", "message"),
    [
        (lambda: make(huber_delta=0.0), ConfigError, "huber_delta"),
        (lambda: make(network=networks.QNetwork(OBSERVATION, ACTION)), TypeError, "QuantileQNetwork"),
        (
            lambda: make(target_quantile_q_network=networks.QuantileQNetwork(OBSERVATION, ACTION, 4)),
            ConfigError,
            "target_quantile_q_network has another structure",
        ),
        (lambda: make(td_errors_loss_fn=element_wise_huber_loss), TypeError, "td_errors_loss_fn"),
        (lambda: make().train(batch(frames=3)), SpecError, "T"),
    ],
)
def test_wrong_arguments_are_named(make_agent, error, message):
    with pytest.raises(error, match=message):
        make_agent()
