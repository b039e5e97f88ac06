"""Options of cloning, and the agents that they describe."""

import numpy as np
import pytest

from jaxdaw import networks, specs
from jaxdaw.errors import ConfigError
from jaxdaw.training import BcConfig
from jaxdaw.trajectories import time_step_spec

from ..demonstrations import OBSERVATION, SIGN, TWICE


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0},
        {"epoch_updates": 0},
        {"validation": 0.95},
        {"learning_rate": 0.0},
        {"batch_size": -1},
        {"weight_decay": -1e-3},
    ],
    ids=str,
)
def test_numbers_outside_their_range_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        BcConfig(**options)


FREE, LEVERS = specs.TensorSpec((2,), np.float32), specs.BoundedTensorSpec((2,), np.int32, 0, 4)
MIXED = {"free": FREE, "gear": SIGN, "levers": LEVERS, "steer": TWICE}


@pytest.mark.parametrize(
    ("share", "episodes", "kept"),
    [(None, 57, 6), (None, 50, 5), (None, 44, 0), (None, 1, 0), (0.0, 99, 0), (0.3, 10, 3), (0.1, 2, 1), (0.5, 1, 0)],
)
def test_validation_keeps_its_share_and_by_default_only_what_can_be_spared(share, episodes, kept):
    assert BcConfig(validation=share).validation_episodes(episodes) == kept


@pytest.mark.parametrize(
    ("network", "action"),
    [("mlp", SIGN), ("mlp", TWICE), ("mlp", FREE), ("mlp", LEVERS), ("mlp", MIXED), ("rnn", MIXED)],
    ids=str,
)
def test_every_kind_of_action_has_an_agent(action, network):
    config = BcConfig(fc_layer_params=(8,), lstm_size=4, network=network)
    nested = {"a": OBSERVATION, "b": specs.TensorSpec((2,), np.int32)}
    agent = config.make_agent(time_step_spec(nested), action)
    assert agent.num_outer_dims == (2 if network == "rnn" else 1)
    step = {"a": np.zeros((5, 3), np.float32), "b": np.zeros((5, 2), np.int32)}
    chosen = agent.policy.action(step).action
    specs.check(chosen, action, 1, what="action")


@pytest.mark.parametrize(
    ("action", "layers", "rate"),
    [(SIGN, (64, 64), 3e-4), (LEVERS, (64, 64), 3e-4), (TWICE, (256, 256), 1e-3), (MIXED, (256, 256), 1e-3)],
    ids=str,
)
def test_layers_and_rate_follow_the_kind_of_actions_unless_they_are_said(action, layers, rate):
    found = BcConfig().for_actions(action)
    assert (found.fc_layer_params, found.learning_rate) == (layers, rate)
    said = BcConfig(fc_layer_params=(), learning_rate=0.5)
    assert said.for_actions(action) == said


def test_the_learning_rate_falls_to_zero_over_all_updates():
    config = BcConfig(fc_layer_params=(8,), learning_rate=0.1, weight_decay=0.0)
    agent = config.make_agent(time_step_spec(OBSERVATION), SIGN, updates=3)
    assert isinstance(agent.cloning_network, networks.ActorDistributionNetwork)
    moved = []
    for _ in range(5):
        before = np.asarray(agent.trainable_variables[0].get_value())
        from jaxdaw.testing import random_experience

        agent.train(random_experience(agent))
        moved.append(float(np.abs(np.asarray(agent.trainable_variables[0].get_value()) - before).max()))
    assert moved[0] > 0.05
    assert max(moved[3:]) < 1e-6
