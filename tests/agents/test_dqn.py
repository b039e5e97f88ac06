"""DQN: known values, targets, masks, recurrence, and the ways in which implementations go wrong."""

import jax
import numpy as np
import optax
import pytest

from jaxdaw import networks, trajectories
from jaxdaw.agents import DdqnAgent, DqnAgent
from jaxdaw.errors import JaxdawWarning
from jaxdaw.trajectories import StepType

from .batches import ACTION, OBSERVATION, batch, make, make_masked, weights_of


def _train_to_rest(agent, frames, steps=600):
    for _ in range(steps // 50):
        agent.train_many(jax.tree.map(lambda x: np.stack([x] * 50), frames))
    return np.asarray(agent._q_network(frames.observation[:, 0])[0])


def test_truncation_bootstraps_and_termination_does_not():
    """One state, reward 1 for ever: cut by a limit it is worth 1 / (1 - .5) = 2, terminated it is worth 1."""

    frames = batch(
        rows=1,
        observation=np.ones((1, 2, 3), np.float32),
        reward=np.ones((1, 2), np.float32),
        next_step_type=np.full((1, 2), StepType.LAST, np.int32),
    )
    frames = frames._replace(action=np.zeros((1, 2), np.int32))
    all_actions = jax.tree.map(lambda x: np.repeat(x, 3, axis=0), frames)
    all_actions = all_actions._replace(action=np.arange(3, dtype=np.int32)[:, None].repeat(2, 1))
    cut = _train_to_rest(make(gamma=0.5, target_update_period=10), all_actions)
    np.testing.assert_allclose(cut[0], 2.0, atol=0.05)
    ended = all_actions._replace(discount=np.zeros((3, 2), np.float32))
    np.testing.assert_allclose(_train_to_rest(make(gamma=0.5, target_update_period=10), ended)[0], 1.0, atol=0.05)


def test_boundary_frames_teach_nothing_but_count_in_the_mean():
    agent, frames = make(), batch()
    frames.step_type[1, 0] = StepType.LAST
    extra = agent.loss(frames).extra
    assert float(extra.td_error[1]) == 0.0
    np.testing.assert_allclose(agent.loss(frames).loss, np.sum(extra.td_loss) / 4, rtol=1e-6)


@pytest.mark.parametrize("period", [1, 2, 3])
def test_the_target_moves_at_multiples_of_its_period(period):
    agent = make(target_update_period=period, optimizer=optax.sgd(0.1))
    agent.initialize()
    for call in range(1, 7):
        before = weights_of(agent).memory
        agent.train(batch(seed=call))
        after = weights_of(agent)
        online = after.params["q_network"]
        expected = online if call % period == 0 else before.target_q_network.params
        jax.tree.map(np.testing.assert_array_equal, after.memory.target_q_network.params, expected)
        shown = agent.target_q_network.get_weights().params  # who holds the network sees it move
        jax.tree.map(np.testing.assert_array_equal, shown, expected)


def test_the_target_does_not_share_its_weights():
    agent = make()
    for variable in agent.target_q_network.variables:
        assert all(variable is not other for other in agent.trainable_variables)
    before = weights_of(agent).memory
    agent.train(batch())
    jax.tree.map(np.testing.assert_array_equal, weights_of(agent).memory, before)


@pytest.mark.parametrize("kind", [DqnAgent, DdqnAgent])
def test_the_mask_holds_for_the_next_action(kind):
    agent = make_masked(kind, gamma=0.9)
    frames = batch()
    mask = np.zeros((4, 2, 3), bool)
    mask[..., 1] = True  # one action is left: both kinds must value it
    frames = frames._replace(observation={"obs": frames.observation, "mask": mask})
    net, observation = agent._q_network, frames.observation["obs"]
    target = np.asarray(agent.target_q_network(observation[:, 1])[0])[:, 1]
    q = np.asarray(net(observation[:, 0])[0])[np.arange(4), frames.action[:, 0]]
    np.testing.assert_allclose(
        agent.loss(frames).extra.td_error, frames.reward[:, 0] + 0.9 * target - q, rtol=1e-4, atol=1e-5
    )


def test_duelling_network_trains_and_is_masked():
    net = networks.DuelingQNetwork(OBSERVATION, ACTION, fc_layer_params=(8,))
    agent = make(network=net)
    assert np.isfinite(agent.train(batch()).loss)
    assert agent.policy.action(trajectories.restart(np.zeros((2, 3), np.float32), 2)).action.shape == (2,)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_recurrent_agent_trains_on_sequences_of_any_length(cell):
    net = networks.QRnnNetwork(
        OBSERVATION, ACTION, input_fc_layer_params=(4,), lstm_size=(5,), output_fc_layer_params=None, cell_type=cell
    )
    agent = make(network=net)
    assert agent.train_sequence_length is None
    for frames in (2, 6):
        info = agent.train(batch(frames=frames))
        assert info.extra.td_error.shape == (4, frames - 1)
        assert info.extra.td_loss.shape == (4,)
        assert np.isfinite(info.loss)
    with pytest.raises(ValueError, match="T >= 2"):
        agent.train(batch(frames=1))
    step = agent.collect_policy.action(trajectories.restart(np.zeros((4, 3), np.float32), 4), seed=0)
    again = agent.collect_policy.action(
        trajectories.transition(np.ones((4, 3), np.float32), np.zeros(4, np.float32)), step.state, seed=1
    )
    assert again.action.shape == (4,)


def test_image_and_dictionary_observations_train():
    from jaxdaw import specs

    spec = {"camera": specs.BoundedTensorSpec((12, 12, 1), np.uint8, 0, 255), "speed": specs.TensorSpec((), np.float32)}
    net = networks.QNetwork(
        spec,
        ACTION,
        preprocessing_layers={
            "camera": lambda rngs: networks.EncodingNetwork(
                spec["camera"], conv_layer_params=[(4, 3, 2)], fc_layer_params=(8,), rngs=rngs
            ),
            "speed": lambda x: x[..., None],
        },
        preprocessing_combiner=networks.concatenate,
        fc_layer_params=(8,),
    )
    agent = DqnAgent(trajectories.time_step_spec(spec), ACTION, net, optax.adam(1e-3), gamma=0.9)
    frames = batch()
    observation = {"camera": np.zeros((4, 2, 12, 12, 1), np.uint8), "speed": np.ones((4, 2), np.float32)}
    assert np.isfinite(agent.train(frames._replace(observation=observation)).loss)


def test_priorities_out_and_importance_weights_in():
    agent, frames = make(), batch()
    priorities = np.abs(agent.train(frames).extra.td_error)
    assert priorities.shape == (4,)
    weights = (priorities / priorities.max()).astype(np.float32)
    assert np.isfinite(agent.train(frames, weights).loss)


def test_time_first_batches_are_named():
    with pytest.raises(ValueError, match="batch and time are swapped"):
        make().train(jax.tree.map(lambda x: x.swapaxes(0, 1), batch(rows=4)))


def test_every_documented_argument_is_there_in_order():
    import inspect

    documented = [
        "time_step_spec", "action_spec", "q_network", "optimizer", "observation_and_action_constraint_splitter",
        "epsilon_greedy", "n_step_update", "boltzmann_temperature", "emit_log_probability", "target_q_network",
        "target_update_tau", "target_update_period", "td_errors_loss_fn", "gamma", "reward_scale_factor",
        "gradient_clipping", "debug_summaries", "summarize_grads_and_vars", "train_step_counter", "name",
    ]  # fmt: skip
    assert list(inspect.signature(DqnAgent.__init__).parameters)[1 : len(documented) + 1] == documented


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": 1.0, "target_update_period": 5}, r"gamma=1\.0, the default of TF-Agents"),
        ({"gamma": 0.9, "target_update_period": 1}, "there is no target network"),
    ],
)
def test_defaults_that_are_rarely_meant_warn(options, message):
    with pytest.warns(JaxdawWarning, match=message):
        make(**options)


@pytest.mark.filterwarnings("error::jaxdaw.errors.JaxdawWarning")
def test_usual_options_do_not_warn():
    make(gamma=0.99, target_update_period=100)
    make(gamma=0.99, target_update_period=1, target_update_tau=0.01)
