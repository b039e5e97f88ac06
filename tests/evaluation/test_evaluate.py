"""Evaluations: what they describe, what they take, and what they cut."""

import json

import gymnasium
import numpy as np
import pytest

from environments import worlds
from jaxdaw import environments
from jaxdaw.environments import EnvironmentRecipe, GymnasiumEnvironment
from jaxdaw.errors import ConfigError, JaxdawWarning
from jaxdaw.evaluation import evaluate
from jaxdaw.policies import RandomPolicy


def random_policy(world):
    return RandomPolicy(world.time_step_spec(), world.action_spec)


@pytest.mark.parametrize("kind", worlds.ACTION_SPACES)
def test_every_kind_of_action_is_evaluated(kind):
    policy = random_policy(GymnasiumEnvironment(worlds.Acting(kind)))
    result = evaluate(policy, lambda: worlds.Acting(kind), 5, num_envs=2, max_episode_steps=9)
    assert result.returns == (3.0,) * 5
    assert result.cut_episodes == 0


def test_endless_episodes_are_cut_counted_and_warned_of():
    policy = random_policy(GymnasiumEnvironment(worlds.Endless()))
    result = evaluate(policy, worlds.Endless, 5, num_envs=2, max_episode_steps=7)
    assert (result.returns, result.cut_episodes, result.mean_length) == ((7.0,) * 5, 5, 7.0)
    assert result.to_json()["cut_episodes"] == 5
    with pytest.warns(JaxdawWarning, match="Endless declares no time limit"):
        assert evaluate(policy, worlds.Endless, 1).cut_episodes == 1


def test_the_callers_environment_is_evaluated_and_stays_open():
    world = worlds.Acting()
    policy = random_policy(GymnasiumEnvironment(world))
    assert evaluate(policy, world, 2, max_episode_steps=9).returns == (3.0, 3.0)
    assert not world.is_closed
    for what in ("CartPole-v1", "jax:CartPole-v1", gymnasium.make("CartPole-v1"), EnvironmentRecipe("CartPole-v1")):
        assert evaluate(random_policy(environments.make("CartPole-v1")), what, 3).episodes == 3
    with pytest.raises(ConfigError, match="episodes is outside its range"):
        evaluate(policy, world, 0)


def test_evaluation_describes_its_own_episodes():
    world = environments.make("CartPole-v1", num_envs=3)
    result = evaluate(RandomPolicy(world.time_step_spec(), world.action_spec), world, episodes=20, seed=4)
    returns = np.array(result.returns)
    assert (result.episodes, result.seed, len(returns)) == (20, 4, 20)
    np.testing.assert_allclose([result.mean_return, result.std_return], [returns.mean(), returns.std()])
    assert result.ci95.low <= result.mean_return <= result.ci95.high
    found = json.loads(json.dumps(result.to_json()))
    assert {"mean_return", "iqm", "ci95", "episodes", "seed"} <= set(found)
    assert found["ci95"] == [result.ci95.low, result.ci95.high]
