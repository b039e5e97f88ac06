"""Both trainers: what they store is real, what they count is right, what they refuse they say."""

import dataclasses

import jax
import numpy as np
import optax
import pytest

from jaxdaw import environments, networks, training
from jaxdaw.agents import DqnAgent
from jaxdaw.errors import ConfigError
from jaxdaw.training._fit import make_trainer, reports
from jaxdaw.trajectories import validate_trajectory

from .worlds import SMALL, make_small


@pytest.mark.parametrize("name", ["CartPole-v1", "jax:CartPole-v1"])
def test_the_replay_holds_one_valid_stream_of_real_edges(name):
    trainer = make_small(name)
    for report in reports(trainer, 1_500):
        assert report.env_steps == trainer.env_steps
    replay = trainer.loop.source.replay
    sample = jax.jit(replay.sample, static_argnums=(2, 3))
    frames = jax.device_get(sample(trainer.state.source, jax.random.key(0), 500, 5)[0])
    validate_trajectory(frames)
    real = frames.step_type[:, :-1] != 2
    before, after = frames.observation[:, :-1][real], frames.observation[:, 1:][real]
    np.testing.assert_allclose(after[:, 0], before[:, 0] + 0.02 * before[:, 1], atol=1e-5)  # x' = x + tau v
    pushed = after[:, 1] - before[:, 1] > 0
    np.testing.assert_array_equal(pushed, frames.action[:, :-1][real] == 1)


@pytest.mark.parametrize("name", ["CartPole-v1", "jax:CartPole-v1"])
def test_updates_start_after_the_warm_up_and_keep_their_ratio(name):
    trainer = make_small(name, learning_starts=400, train_every=5, updates=3, report_every=400)
    total = list(reports(trainer, 2_000))
    assert total[0].train_step <= 3
    last = total[-1]
    vector_steps = (last.env_steps + 0) / 4
    assert abs(last.train_step - 3 * (vector_steps - 100) / 5) <= 0.2 * last.train_step + 6
    assert last.learning
    assert np.isfinite(last.loss)


def test_another_environment_than_the_agent_s_is_refused():
    catch = environments.make("jax:Catch-v0")
    cartpole = environments.make("jax:CartPole-v1")
    agent = SMALL.make_agent(catch.time_step_spec(), catch.action_spec)
    with pytest.raises(ConfigError, match="made for another observation_spec"):
        make_trainer(agent, cartpole)


def test_recurrent_agents_must_be_told_the_length_of_a_sequence():
    world = environments.make("jax:Recall-v0")
    config = dataclasses.replace(SMALL, network="rnn")
    agent = config.make_agent(world.time_step_spec(), world.action_spec)
    with pytest.raises(ConfigError, match="sequence_length"):
        make_trainer(agent, world, training.LoopOptions())


def test_random_starts_last_as_long_as_nothing_is_learned():
    world = environments.make("jax:CartPole-v1")
    agent = SMALL.make_agent(world.time_step_spec(), world.action_spec)
    options = training.LoopOptions(random_starts=True, learning_starts=300)
    assert make_trainer(agent, world, options).loop.random_steps == 300
    assert make_trainer(agent, world, dataclasses.replace(options, random_starts=False)).loop.random_steps == 0


def test_random_starts_are_refused_where_actions_are_recorded_with_information():
    world = environments.make("jax:CartPole-v1")
    network = networks.QNetwork(world.observation_spec, world.action_spec, fc_layer_params=(4,))
    agent = DqnAgent(world.time_step_spec(), world.action_spec, network, optax.sgd(0.1), emit_log_probability=True)
    with pytest.raises(ConfigError, match="random ones have none"):
        make_trainer(agent, world, training.LoopOptions(random_starts=True))
