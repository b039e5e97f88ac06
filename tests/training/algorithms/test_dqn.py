import numpy as np
import pytest

from jaxdaw import specs, trajectories
from jaxdaw.agents import DdqnAgent, DqnAgent
from jaxdaw.errors import ConfigError
from jaxdaw.training import DqnConfig

ACTION = specs.BoundedTensorSpec((), np.int64, 0, 2)


def agent_of(config, observation):
    return config.make_agent(trajectories.time_step_spec(observation), ACTION)


def test_every_option_reaches_the_agent():
    config = DqnConfig(double=True, n_step_update=3, gamma=0.5, target_update_tau=0.1, gradient_clipping=0.0, updates=0)
    agent = agent_of(config, specs.TensorSpec((4,), np.float32))
    assert type(agent) is DdqnAgent
    assert agent.train_sequence_length == 4
    assert (agent._gamma, agent._tau) == (0.5, 0.1)
    assert config.loop_options().updates is None
    assert type(agent_of(DqnConfig(), specs.TensorSpec((4,), np.float32))) is DqnAgent


def test_images_nests_and_masks_need_no_more_than_their_specs():
    image = specs.BoundedTensorSpec((84, 84, 4), np.uint8, 0, 255)
    assert len(agent_of(DqnConfig(), image).trainable_variables) == 2 * (3 + 2 + 1)  # convolutions, dense, head
    nest = {"a": specs.TensorSpec((2,), np.float32), "b": specs.TensorSpec((), np.int32)}
    agent_of(DqnConfig(), nest)
    masked = {"x": specs.TensorSpec((2,), np.float32), "mask": specs.BoundedTensorSpec((3,), np.int8, 0, 1)}
    agent = agent_of(DqnConfig(mask_key="mask"), masked)
    assert agent.policy.observation_and_action_constraint_splitter is not None
    with pytest.raises(ConfigError, match="names no entry"):
        agent_of(DqnConfig(mask_key="allowed"), masked)


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"steps": -5},
        {"num_envs": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"epsilon_end": 1.5},
        {"eval_every": -1},
        {"boltzmann_temperature": -1.0},
    ],
)
def test_numbers_outside_their_range_are_named(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        DqnConfig(**options)
