"""Recording a policy's episodes."""

import numpy as np
import pytest

from jaxdaw import data, environments
from jaxdaw.errors import ConfigError
from jaxdaw.policies import RandomPolicy
from jaxdaw.recording import record_demonstrations


def random_policy():
    world = environments.make("CartPole-v1")
    return RandomPolicy(world.time_step_spec(), world.action_spec)


def test_what_is_recorded_is_what_the_environment_did(tmp_path):
    told = []
    path = record_demonstrations(
        random_policy(), "CartPole-v1", tmp_path / "data", 3, seed=7, watch=lambda *x: told.append(x)
    )
    found = data.read(path)
    assert len(found) == 3
    assert [value for _, value in told] == found.returns.tolist()
    assert found.terminated.all()
    assert data.check(found).errors == ()
    for number, episode in enumerate(found):
        world = environments.make("CartPole-v1", num_envs=1)
        step = world.reset(seed=7 + number)
        np.testing.assert_array_equal(episode.observation[0], step.observation[0])
        for t, action in enumerate(episode.action):
            step = world.step(np.asarray([action]))
            np.testing.assert_array_equal(episode.observation[t + 1], step.observation[0])
        world.close()


def test_a_directory_is_continued(tmp_path):
    for seed in (0, 10):
        record_demonstrations(random_policy(), "CartPole-v1", tmp_path / "data", 2, seed=seed)
    assert len(data.read(tmp_path / "data")) == 4


def test_pure_environments_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="--env CartPole-v1"):
        record_demonstrations(random_policy(), "jax:CartPole-v1", tmp_path / "data")
