"""Options of TD3, the agents that they make, and a run from its options to its policy and beyond."""

import numpy as np
import pytest

from jaxdaw import environments, specs, training, trajectories
from jaxdaw.agents import Td3Agent
from jaxdaw.errors import ConfigError
from jaxdaw.testing import random_experience
from jaxdaw.training import Td3Config

SMALL = {
    "steps": 1_000, "num_envs": 2, "fc_layer_params": (8,), "batch_size": 16, "replay_capacity": 1_000,
    "learning_starts": 200, "train_every": 20, "report_every": 200, "eval_every": 400, "eval_episodes": 2,
    "checkpoint_every": 400,
}  # fmt: skip


def agent_of(config, observation, action):
    return config.make_agent(trajectories.time_step_spec(observation), action)


VECTOR = specs.TensorSpec((3,), np.float32)
STEER = specs.BoundedTensorSpec((2,), np.float32, [-1.0, 0.0], [1.0, 10.0])


def test_options_reach_the_agent():
    config = Td3Config(
        gamma=0.5, target_update_tau=0.1, exploration_noise=0.3, target_policy_noise=0.4, target_policy_noise_clip=0.6
    )
    agent = agent_of(config, VECTOR, STEER)
    assert type(agent) is Td3Agent
    arguments = agent.constructor_arguments()
    assert (arguments["gamma"], arguments["target_update_tau"], arguments["gradient_clipping"]) == (0.5, 0.1, None)
    assert (arguments["actor_update_period"], arguments["target_update_period"]) == (2, 2)
    assert (agent._noise, agent._noise_clip) == (0.4, 0.6)
    np.testing.assert_allclose(agent.collect_policy._scale * agent.collect_policy._units, [0.3, 1.5])
    loop = config.loop_options()
    assert (loop.random_starts, loop.learning_starts, loop.updates) == (True, 1_000, None)


def test_observations_of_any_kind_and_networks_with_memory():
    image = specs.BoundedTensorSpec((84, 84, 4), np.uint8, 0, 255)
    agent = agent_of(Td3Config(fc_layer_params=(8,)), image, STEER)
    assert len(agent._actor_network.encoder.conv) == len(agent._critics["critic_network"].encoder.observation.conv) == 3
    nested = {"a": VECTOR, "b": specs.TensorSpec((), np.float32)}
    agent_of(Td3Config(fc_layer_params=(8,)), nested, STEER)
    config = Td3Config(fc_layer_params=(8,), network="rnn", lstm_size=4, sequence_length=5)
    agent = agent_of(config, VECTOR, STEER)
    assert agent.collect_policy.policy_state_spec[0].cell.shape == (4,)
    assert config.loop_options().sequence_length == 5


def test_a_run_resumes_exactly_and_its_policy_is_loaded(tmp_path):
    options = {**SMALL, "eval_every": 0}
    whole = training.train("td3", "jax:Pendulum-v1", out=tmp_path / "whole", **options)
    training.train("td3", "jax:Pendulum-v1", out=tmp_path / "half", **{**options, "steps": 600})
    training.resume(tmp_path / "half", steps=1_000)
    loaded = [training.run_policy(tmp_path / name, "final") for name in ("whole", "half")]
    step = trajectories.restart(np.ones((4, 3), np.float32), batch_size=4)
    actions = [policy.action(step).action for policy in (whole.final_policy, *loaded)]
    np.testing.assert_array_equal(actions[1], actions[0])
    np.testing.assert_array_equal(actions[2], actions[0])
    trained = [row for row in whole.rows if row["kind"] == "train"]
    assert trained[-1]["train_step"] >= 700  # one for each step after the first 200


def test_a_gymnasium_environment_clips_what_the_agent_collects():
    run = training.train("td3", "Pendulum-v1", **{**SMALL, "steps": 500, "eval_every": 0, "exploration_noise": 3.0})
    assert np.isfinite([row["loss"] for row in run.rows if row["kind"] == "train" and row["train_step"]]).all()
    world = environments.make("jax:Pendulum-v1")
    step = trajectories.restart(np.ones((50, 3), np.float32), batch_size=50)
    specs.check(run.agent.collect_policy.action(step).action, world.action_spec, (50,))


@pytest.mark.parametrize("name", ["td3", "ddpg"])
def test_replay_may_be_prioritized_by_the_critics_errors(name):
    run = training.train(name, "jax:Pendulum-v1", replay="prioritized", **{**SMALL, "steps": 400, "eval_every": 0})
    assert np.isfinite([row["loss"] for row in run.rows if row["kind"] == "train" and row["train_step"]]).all()
    extra = run.agent.loss(random_experience(run.agent, 8)).extra
    squares, critics = float(np.sum(extra.td_error**2)) / 8, {"td3": 2, "ddpg": 1}[name]
    assert extra.td_error.shape == (8,)  # the mean over critics; each adds its own squared error to the loss
    assert critics * squares <= float(extra.critic_loss) * (1 + 1e-5)
    assert float(extra.critic_loss) <= critics**2 * squares * (1 + 1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"actor_learning_rate": 0.0},
        {"critic_learning_rate": -1.0},
        {"actor_update_period": 0},
        {"target_policy_noise": -0.1},
        {"target_policy_noise_clip": -0.1},
        {"exploration_noise": -0.1},
        {"updates": -1},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_numbers_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Td3Config(**wrong)


def test_discrete_environments_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="acts by floats"):
        training.train("td3", "jax:CartPole-v1", out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run").exists()
