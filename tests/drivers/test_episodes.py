import jax
import numpy as np
import pytest

from jaxdaw import environments
from jaxdaw.drivers import run_episodes
from jaxdaw.errors import EnvironmentFault
from jaxdaw.policies import RandomPolicy


def random_policy(environment):
    return RandomPolicy(environment.time_step_spec(), environment.action_spec)


@pytest.mark.parametrize("num_envs", [1, 3])
def test_host_and_pure_environments_agree_on_the_distribution_of_returns(num_envs):
    host = environments.make("CartPole-v1", num_envs=num_envs)
    pure = environments.make("jax:CartPole-v1")
    a = run_episodes(random_policy(host), host, 200, seed=1)
    b = run_episodes(random_policy(pure), pure, 400, seed=1)
    np.testing.assert_array_equal(a.returns, a.lengths)  # reward 1 a step
    assert abs(a.returns.mean() - b.returns.mean()) < 4 * b.returns.std() / np.sqrt(200)


def test_episodes_are_assigned_in_advance_not_taken_as_they_end():
    """Taking the first 6 of 3 rows to end would count the shortest; here each row gives exactly two."""
    host = environments.make("CartPole-v1", num_envs=3)
    got = run_episodes(random_policy(host), host, 6, seed=0)
    assert (got.lengths > 0).all()
    more = run_episodes(random_policy(host), host, 7, seed=0)
    assert (more.lengths > 0).all()
    assert len(more.returns) == 7


def test_the_same_seed_gives_the_same_episodes():
    host = environments.make("CartPole-v1", num_envs=2)
    policy = random_policy(host)
    np.testing.assert_array_equal(run_episodes(policy, host, 5, 3).returns, run_episodes(policy, host, 5, 3).returns)


def test_an_episode_that_does_not_end_is_reported():
    host = environments.make("CartPole-v1", num_envs=1)
    pure = environments.make("jax:Catch-v0")
    for world in (host, pure):
        with pytest.raises(EnvironmentFault, match="did not end"):
            run_episodes(random_policy(world), world, 1, max_steps=3)


def test_memory_is_carried_between_steps():
    from jaxdaw import networks
    from jaxdaw.policies import GreedyPolicy, QPolicy

    pure = environments.make("jax:Recall-v0")
    network = networks.QRnnNetwork(pure.observation_spec, pure.action_spec, lstm_size=(4,))
    policy = GreedyPolicy(QPolicy(pure.time_step_spec(), pure.action_spec, network))
    assert len(run_episodes(policy, pure, 8).returns) == 8
    host = environments.JaxToHost(pure, num_envs=2, seed=0)
    assert len(run_episodes(policy, host, 4).returns) == 4
    assert jax.tree.leaves(policy.initial_state(2))[0].shape == (2, 4)
