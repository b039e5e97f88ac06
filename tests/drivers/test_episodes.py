import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from environments import worlds
from jaxdaw import environments, specs
from jaxdaw.drivers import (
    Rollout,
    StepDriver,
    episode_budget,
    run_episodes,
    time_limit_warning,
)
from jaxdaw.drivers._episodes import DEFAULT_EPISODE_BUDGET
from jaxdaw.environments import EpisodicEnvironment
from jaxdaw.errors import ConfigError
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


@dataclasses.dataclass(frozen=True)
class Corridor(EpisodicEnvironment):
    """Ends after as many steps as it drew at the start, 1 to 4 or never; each pays 1."""

    max_episode_steps: int | None = None
    random_words = 1
    observation_spec = property(lambda self: specs.TensorSpec((), np.float32))
    action_spec = property(lambda self: specs.BoundedTensorSpec((), np.float32, -1, 1))

    def start(self, words):
        return jnp.where(words[0] % 5 == 4, -1, words[0] % 5 + 1).astype(jnp.int32)

    def advance(self, world, action):
        return world - 1, 1.0, world == 1

    def observe(self, world):
        return world.astype(jnp.float32)


def test_every_step_counts_and_no_episode_is_lost_where_some_are_cut():
    world = Corridor()
    for environment in (world, environments.JaxToHost(world, 4, seed=0)):
        run = run_episodes(random_policy(world), environment, 400, max_episode_steps=6)
        assert 40 < run.cut.sum() < 130  # a fifth never ends: 80, deviation 8
        assert (run.lengths[run.cut] == 6).all()
        assert set(run.lengths[~run.cut]) == {1, 2, 3, 4}
        np.testing.assert_array_equal(run.returns, run.lengths)


def test_an_episode_of_exactly_the_budget_is_not_cut():
    for world in (environments.make("jax:Catch-v0"), environments.JaxToHost(environments.Catch(), 2)):
        lengths = run_episodes(random_policy(world), world, 4).lengths
        assert (lengths == 9).all()
        assert not run_episodes(random_policy(world), world, 4, max_episode_steps=9).cut.any()
        assert run_episodes(random_policy(world), world, 4, max_episode_steps=8).cut.all()


def test_an_endless_environment_is_cut_by_default_and_the_environments_own_limit_is_no_cut():
    endless = environments.GymnasiumEnvironment(worlds.Endless, 2)
    run = run_episodes(random_policy(endless), endless, 2)
    assert run.lengths.tolist() == [DEFAULT_EPISODE_BUDGET] * 2
    assert run.cut.all()
    limited = environments.make("CliffWalking-v1", max_episode_steps=5)
    run = run_episodes(random_policy(limited), limited, 2)
    assert run.lengths.tolist() == [5, 5]
    assert not run.cut.any()


def test_progress_is_told():
    told = []
    host = environments.GymnasiumEnvironment(worlds.Endless, 2)
    run_episodes(random_policy(host), host, 3, max_episode_steps=2_500, progress=lambda *x: told.append(x))
    assert told == [(0, 1000), (0, 2000), (2, 2500), (2, 3000), (2, 4000), (3, 5000)]
    told.clear()
    pure = environments.make("jax:Catch-v0")
    run_episodes(random_policy(pure), pure, 3, progress=lambda *x: told.append(x))
    assert told == [(3, 9)]


def test_the_budget_is_what_is_asked_for_or_the_environments_limit_or_a_number_of_ours():
    assert episode_budget(environments.make("CartPole-v1")) == 500
    assert episode_budget(environments.make("jax:CartPole-v1")) == 500
    assert episode_budget(environments.make("CartPole-v1"), 9) == 9
    assert episode_budget(environments.make("CliffWalking-v1")) == DEFAULT_EPISODE_BUDGET
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ConfigError, match="max_episode_steps is outside its range"):
            episode_budget(environments.make("CartPole-v1"), wrong)  # type: ignore[arg-type]  # the point


def test_an_environment_that_declares_no_limit_is_warned_of():
    assert "CliffWalking-v1 declares no time limit" in (time_limit_warning(environments.make("CliffWalking-v1")) or "")
    assert "Endless declares no time limit" in (
        time_limit_warning(environments.GymnasiumEnvironment(worlds.Endless, 1)) or ""
    )
    assert time_limit_warning(environments.make("CliffWalking-v1"), 500) is None
    assert time_limit_warning(environments.make("CliffWalking-v1", max_episode_steps=9)) is None
    assert time_limit_warning(environments.make("CartPole-v1")) is None
    assert time_limit_warning(environments.make("jax:Catch-v0")) is None


ACTIONS = {
    "scalar": specs.BoundedTensorSpec((), np.int32, -1, 1),
    "vector": specs.BoundedTensorSpec((3,), np.int32, 0, [1, 2, 3]),
    "float": specs.BoundedTensorSpec((), np.float32, -0.5, 0.5),
    "floats": specs.BoundedTensorSpec((2,), np.float32, [-1.0, 0.0], [1.0, 0.5]),
    "nested": {
        "gear": specs.BoundedTensorSpec((), np.int32, 1, 3),
        "wheel": specs.BoundedTensorSpec((2,), np.float32, -1, 1),
    },
}


@dataclasses.dataclass(frozen=True)
class Obedient(EpisodicEnvironment):
    """Pays 1 for every action within the bounds of its spec."""

    kind: str = "scalar"
    max_episode_steps: int | None = 4
    random_words = 1
    observation_spec = property(lambda self: specs.TensorSpec((2,), np.float32))
    action_spec = property(lambda self: ACTIONS[self.kind])

    def start(self, words):
        return words[0].astype(jnp.float32)

    def advance(self, world, action):
        leaves = zip(specs.flatten(action), specs.flatten(self.action_spec), strict=True)
        inside = [((leaf >= spec.minimum) & (leaf <= spec.maximum)).all() for leaf, spec in leaves]
        return world, jnp.stack(inside).all().astype(jnp.float32), False

    def observe(self, world):
        return jnp.full((2,), world)


class Wide(RandomPolicy):
    """Draws floats 100 times as wide as they should be."""

    def _sample(self, distribution, randomness):
        action = super()._sample(distribution, randomness)
        return specs.map_structure(lambda x: 100 * x if jnp.issubdtype(x.dtype, jnp.floating) else x, action)


class Own(environments.Environment):
    """A host environment that refuses whatever its spec does not allow."""

    def __init__(self, pure):
        self._inner = environments.JaxToHost(pure, 2, seed=0)

    batch_size = property(lambda self: 2)
    observation_spec = property(lambda self: self._inner.observation_spec)
    action_spec = property(lambda self: self._inner.action_spec)

    def reset(self, seed=None):
        return self._inner.reset(seed)

    def step(self, action):
        specs.check(action, self.action_spec, (2,), what="action")
        return self._inner.step(action)


@pytest.mark.parametrize("kind", ACTIONS)
def test_an_action_outside_its_bounds_is_recorded_as_drawn_and_clipped_by_every_environment(kind):
    pure = Obedient(kind)
    policy = Wide(pure.time_step_spec(), pure.action_spec)
    for world in (pure, environments.JaxToHost(pure, 3, seed=0), Own(pure)):
        run = run_episodes(policy, world, 4)
        assert run.returns.tolist() == [4.0] * 4
    frames = []
    StepDriver(Own(pure), policy, [frames.append], num_steps=8).run()
    rollout = Rollout(pure, policy, 3)
    key = jax.random.key(0)
    _, recorded = rollout.run(policy.get_weights(), rollout.init(key), key, 8)
    assert float(jnp.where(recorded.is_boundary(), 0, recorded.reward).sum()) > 0
    for frame in (*frames, recorded):
        floats = [leaf for leaf in specs.flatten(frame.action) if np.issubdtype(leaf.dtype, np.floating)]
        assert all(np.abs(leaf).max() > 1 for leaf in floats)


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
