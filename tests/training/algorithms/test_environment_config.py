"""What options of several algorithms share: networks for observations of any kind, masks, schedules."""

import dataclasses

import gymnasium
import numpy as np
import pytest

from jaxdaw import specs, training
from jaxdaw.errors import ConfigError
from jaxdaw.training import ALGORITHMS
from jaxdaw.training.algorithms._environment_config import EnvironmentConfig, ReplayConfig, falling, mask_splitter

VECTOR = specs.TensorSpec((3,), np.float32)
IMAGE = specs.BoundedTensorSpec((84, 84, 4), np.uint8, 0, 255)
IN_ENVIRONMENTS = {name: row.config for name, row in ALGORITHMS.items() if row.learns_from == "environment"}


@pytest.mark.parametrize("name", IN_ENVIRONMENTS)
def test_every_algorithm_in_environments_has_the_shared_options(name):
    """One that adds none of them on its own cannot forget one, or spell it otherwise."""
    config = IN_ENVIRONMENTS[name]
    assert issubclass(config, EnvironmentConfig)
    for base in (EnvironmentConfig, ReplayConfig):
        shared = {field.name for field in dataclasses.fields(base)}
        if issubclass(config, base):
            assert shared <= {field.name for field in dataclasses.fields(config)}
    for wrong in ("steps", "num_envs", "lstm_size", "eval_episodes", "report_every", "summary_interval"):
        with pytest.raises(ConfigError, match=wrong):
            config(**{wrong: 0})
    with pytest.raises(ConfigError, match="gamma"):
        config(gamma=1.5)


def test_layers_are_those_of_the_observations_and_the_memory():
    plain = EnvironmentConfig(fc_layer_params=(5,)).layer_options(VECTOR)
    assert plain == {"fc_layer_params": (5,), "preprocessing_combiner": None, "conv_layer_params": None}
    recurrent = EnvironmentConfig(network="rnn", fc_layer_params=(5,), lstm_size=7).layer_options(IMAGE)
    assert recurrent["lstm_size"] == (7,)
    assert recurrent["input_fc_layer_params"] == (5,)
    assert recurrent["conv_layer_params"] == [(32, 8, 4), (64, 4, 2), (64, 3, 1)]
    own = EnvironmentConfig(conv_layer_params=((8, 3, 1),)).encoder_options((IMAGE, VECTOR))
    assert own["conv_layer_params"] == [(8, 3, 1)]
    assert own["preprocessing_combiner"] is not None


@pytest.mark.parametrize("option", ["batch_size", "replay_capacity", "train_every", "target_update_period"])
def test_numbers_of_a_replay_are_refused_by_name(option):
    with pytest.raises(ConfigError, match=option):
        ReplayConfig(**{option: 0})


def test_masks_are_split_off():
    assert mask_splitter("") is None
    splitter = mask_splitter("mask")
    assert splitter is not None
    assert splitter({"x": 1, "y": 2, "mask": 0}) == ({"x": 1, "y": 2}, 0)
    with pytest.raises(ConfigError, match=r"names no entry.*\n.*'mask'.*got  \['x'\]"):
        splitter({"x": 1})


def test_a_rate_falls_to_its_share():
    assert falling(0.5, 1.0, 100) == 0.5
    rate = falling(0.5, 0.1, 100)
    assert not isinstance(rate, float)
    np.testing.assert_allclose([rate(0), rate(50), rate(100), rate(200)], [0.5, 0.275, 0.05, 0.05])


class Masked(gymnasium.Env):
    """Pays for the action that a mask allows: always one of three."""

    observation_space = gymnasium.spaces.Dict(
        {"x": gymnasium.spaces.Box(-1, 1, (2,), np.float32), "mask": gymnasium.spaces.MultiBinary(3)}
    )
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._steps = 0
        return self._seen(), {}

    def step(self, action):
        assert self._allowed == action
        self._steps += 1
        return self._seen(), 1.0, self._steps == 5, False, {}

    def _seen(self):
        self._allowed = int(self.np_random.integers(3))
        return {"x": np.zeros(2, np.float32), "mask": np.eye(3, dtype=np.int8)[self._allowed]}


@pytest.mark.parametrize("name", [name for name, config in IN_ENVIRONMENTS.items() if hasattr(config, "mask_key")])
def test_a_mask_holds_while_training_and_in_the_policy_that_a_run_reads(name, tmp_path):
    small = {"steps": 64, "num_envs": 2, "fc_layer_params": (4,), "eval_every": 32, "eval_episodes": 2}
    is_off_policy = issubclass(IN_ENVIRONMENTS[name], ReplayConfig)
    small |= {"learning_starts": 16, "train_every": 8} if is_off_policy else {"rollout_steps": 16}
    run = training.train(name, Masked, mask_key="mask", out=tmp_path / "run", report_every=32, **small)
    assert {row["mean_return"] for row in run.evaluations} == {5.0}
    policy = training.run_policy(tmp_path / "run", "final")
    observation = {"x": np.zeros((3, 2), np.float32), "mask": np.eye(3, dtype=np.int8)}
    np.testing.assert_array_equal(policy.action(observation, seed=0).action, [0, 1, 2])
