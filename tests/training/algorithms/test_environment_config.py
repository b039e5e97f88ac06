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
    encoder = {"preprocessing_layers": None, "preprocessing_combiner": None, "conv_layer_params": None}
    assert plain == {"fc_layer_params": (5,), **encoder}
    recurrent = EnvironmentConfig(network="rnn", fc_layer_params=(5,), lstm_size=7).layer_options(IMAGE)
    assert recurrent["lstm_size"] == (7,)
    assert recurrent["input_fc_layer_params"] == (5,)
    assert recurrent["conv_layer_params"] == [(32, 8, 4), (64, 4, 2), (64, 3, 1)]
    own = EnvironmentConfig(conv_layer_params=((8, 3, 1),)).layer_options(IMAGE)
    assert own["conv_layer_params"] == [(8, 3, 1)]


class Everything(gymnasium.Env):
    """Pays for the action that its category names; image and numbers are beside the point."""

    observation_space = gymnasium.spaces.Dict(
        {
            "image": gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8),
            "kind": gymnasium.spaces.Discrete(2),
            "where": gymnasium.spaces.Tuple(
                (gymnasium.spaces.Box(-1, 1, (2,), np.float32), gymnasium.spaces.MultiDiscrete([3, 4]))
            ),
        }
    )
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        self._steps, self._seen = 0, self.observation_space.sample()
        return self._seen, {}

    def step(self, action):
        reward, self._steps = float(action == self._seen["kind"]), self._steps + 1
        self._seen = self.observation_space.sample()
        return self._seen, reward, self._steps == 10, False, {}


class Steered(Everything):
    """The same, paid by how near a number comes to the category."""

    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def step(self, action):
        near = abs(float(action[0]) - (self._seen["kind"] - 0.5)) < 0.5
        return super().step(self._seen["kind"] if near else 2)


@pytest.mark.parametrize("name", ["rainbow", "reinforce", "ppo", "sac", "td3"])  # of each base of options
def test_observations_of_every_kind_are_learned_from_with_the_defaults(name, tmp_path):
    """Two steps of training; the policy is read again and acts."""
    world = Steered if name in ("td3", "ddpg") else Everything
    off_policy = {"learning_starts": 40, "train_every": 8, "updates": 2, "batch_size": 8}
    is_off_policy = issubclass(IN_ENVIRONMENTS[name], ReplayConfig)
    options = off_policy if is_off_policy else {"rollout_steps": 20}
    small = {"steps": 80, "num_envs": 2, "fc_layer_params": (8,), "eval_every": 0, "report_every": 40}
    run = training.train(name, world, out=tmp_path / "run", **small, **options)
    assert np.isfinite([row["loss"] for row in run.rows if row["kind"] == "train" and row["train_step"]]).all()
    seen = specs.zeros(run.final_policy.time_step_spec.observation, (3,))
    ours, theirs = (
        p.action(seen, seed=0).action for p in (run.final_policy, training.run_policy(run.directory, "final"))
    )
    np.testing.assert_array_equal(ours, theirs)


def test_the_frozen_lake_is_crossed_with_the_defaults():
    """A square is a category: as one raw number it was not learned."""
    run = training.train("dqn", "FrozenLake-v1", env_options={"is_slippery": False}, steps=12_000, eval_every=0)
    world = gymnasium.make("FrozenLake-v1", is_slippery=False)
    square, _ = world.reset(seed=0)
    policy, reward, ended = run.final_policy, 0.0, False
    while not ended:
        choice = int(policy.action(np.array([square])).action[0])
        square, reward, terminated, truncated, _ = world.step(choice)
        ended = terminated or truncated
    assert reward == 1.0


def test_integers_are_not_normalized():
    with pytest.raises(ConfigError, match=r"no meaning for integers at .*image"):
        training.train("ppo", Everything, normalize=("observation",), steps=80)


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


@pytest.mark.parametrize("name", ["rainbow", "a2c", "sac"])
def test_a_mask_holds_while_training_and_in_the_policy_that_a_run_reads(name, tmp_path):
    small = {"steps": 64, "num_envs": 2, "fc_layer_params": (4,), "eval_every": 32, "eval_episodes": 2}
    is_off_policy = issubclass(IN_ENVIRONMENTS[name], ReplayConfig)
    small |= {"learning_starts": 16, "train_every": 8} if is_off_policy else {"rollout_steps": 16}
    run = training.train(name, Masked, mask_key="mask", out=tmp_path / "run", report_every=32, **small)
    assert {row["mean_return"] for row in run.evaluations} == {5.0}
    policy = training.run_policy(tmp_path / "run", "final")
    observation = {"x": np.zeros((3, 2), np.float32), "mask": np.eye(3, dtype=np.int8)}
    np.testing.assert_array_equal(policy.action(observation, seed=0).action, [0, 1, 2])


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("dqn", {"network": "qq"}),
        ("dqn", {"distribution": "categorial"}),
        ("dqn", {"double": "yes"}),
        ("dqn", {"mask_key": 0}),
        ("dqn", {"fc_layer_params": (0,)}),
        ("dqn", {"fc_layer_params": "1"}),
        ("dqn", {"fc_layer_params": (1.5,)}),
        ("dqn", {"td_errors_loss": None}),
        ("dqn", {"batch_size": 10**30}),
        ("c51", {"distribution": "none"}),
        ("c51", {"min_q_value": "a"}),
        ("ppo", {"network": "q"}),
        ("ppo", {"normalize": None}),
        ("ppo", {"normalize": ("rewards",)}),
        ("ppo", {"epochs": 10**30}),
        ("sac", {"target_entropy": "low"}),
        ("bandit", {"exploration": "sqarecb"}),
        ("bandit", {"loss": "lgo"}),
        ("bc", {"normalize": "yes"}),
    ],
    ids=str,
)
def test_a_value_that_an_option_cannot_have_is_refused_by_name(name, wrong):
    """A mistyped choice trained another algorithm, in a run that could not be resumed."""
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ALGORITHMS[name].config(**wrong)


def test_layers_may_be_a_list_and_numbers_of_numpy():
    config = ALGORITHMS["dqn"].config(fc_layer_params=[np.int64(8), 8], steps=np.int64(100), gamma=np.float32(0.5))
    assert config.steps == 100
