"""Environments by their ids."""

from __future__ import annotations

import sys
import types

import gymnasium
import numpy as np
import pytest

from environments import worlds
from jaxdaw import environments
from jaxdaw.environments import CartPole, Catch, GymnasiumEnvironment, JaxToHost, Recall, jax_environment, make
from jaxdaw.errors import ConfigError, EnvironmentFault


@pytest.fixture
def registered():
    """Registers entry points for one test."""
    ids = []

    def register(env_id, entry_point):
        gymnasium.register(env_id, entry_point)
        ids.append(env_id)
        return env_id

    yield register
    for env_id in ids:
        del gymnasium.registry[env_id]


def test_either_kind_by_its_id():
    assert make("jax:CartPole-v1") == CartPole()
    assert make("jax:Catch-v0", num_envs=4, seed=0, rows=6) == Catch(rows=6)
    assert make("jax:Recall-v0", max_episode_steps=3) == Recall(max_episode_steps=3)
    host = make("CartPole-v1", num_envs=2, max_episode_steps=9)
    assert isinstance(host, GymnasiumEnvironment)
    assert (host.batch_size, host.max_episode_steps) == (2, 9)
    assert jax_environment("CartPole-v1") == CartPole()


def test_keyword_arguments_reach_the_environment():
    lake = make("FrozenLake-v1", is_slippery=False)
    lake.reset(seed=0)
    assert [int(lake.step(np.array([action])).observation[0]) for action in (2, 2, 1)] == [1, 2, 6]  # without slipping


def test_is_pure():
    assert environments.is_pure("jax:anything")
    assert environments.is_pure(Catch())
    assert not environments.is_pure("CartPole-v1")
    assert not environments.is_pure(JaxToHost(Catch()))


def test_make_unchecked_gives_what_find_faults_takes():
    assert isinstance(environments.make_unchecked("CartPole-v1"), gymnasium.Env)
    assert environments.make_unchecked("jax:Catch-v0") == Catch()


@pytest.mark.parametrize(
    ("env_id", "texts"),
    [
        ("CartPol-v1", ["Did you mean CartPole-v1", "Fix: 'my_package:CartPol-v1'"]),
        ("cartpole-v1", ["CartPole-v1"]),
        ("CartPole-v7", ["CartPole-v1"]),
        ("ALE/Pong-v5", ["'ale_py:ALE/Pong-v5' imports ale_py first"]),
        ("nowhere_to_be_found:Thing-v0", ["names a module that cannot be imported", "pip install nowhere_to_be_found"]),
        ("jax:Cartpole-v1", ["Did you mean jax:CartPole-v1"]),
        ("jax:Nothing", ["one of jax:Acrobot-v1, jax:CartPole-v1, jax:Catch-v0", "jax:Recall-v0"]),
        ("Not/an/id", ["unknown environment id"]),
    ],
)
def test_an_unknown_id_is_answered_with_the_nearest_and_the_fix(env_id, texts):
    with pytest.raises(ConfigError) as caught:
        make(env_id)
    for text in texts:
        assert text in str(caught.value)


def test_a_pure_environment_comes_from_no_other_package():
    with pytest.raises(ConfigError) as caught:
        make("jax:CartPol-v1")
    assert "imports" not in str(caught.value)


def test_the_module_of_an_id_is_imported(monkeypatch, registered):
    monkeypatch.setitem(sys.modules, "own_worlds", types.ModuleType("own_worlds"))
    registered("OwnWorld-v0", worlds.Base)
    assert make("own_worlds:OwnWorld-v0", num_envs=2).batch_size == 2


def test_options_that_nobody_has_are_refused():
    with pytest.raises(ConfigError, match="'jax:Catch-v0' has no option 'cols'"):
        make("jax:Catch-v0", cols=3)
    with pytest.raises(ConfigError, match=r"CartPole-v1.*argument(.|\n)*gravity"):
        make("CartPole-v1", gravity=3)
    with pytest.raises(ConfigError, match="num_envs is outside its range"):
        make("CartPole-v1", num_envs=0)
    with pytest.raises(ConfigError, match="'jax:Catch-v0' cannot be drawn"):
        make("jax:Catch-v0", render_mode="human")


def test_an_absent_package_is_answered_with_the_line_that_installs_it(registered):
    def needs(text):
        def entry_point(**_):
            raise gymnasium.error.DependencyNotInstalled(text)

        return entry_point

    with pytest.raises(ImportError, match=r"pip install 'jaxdaw\[box2d\]'"):
        make(registered("NeedsBox-v0", needs("Box2D is not installed")))
    with pytest.raises(ImportError, match=r'pip install "gymnasium\[mujoco\]"'):
        make(registered("NeedsMujoco-v0", needs('not installed, run `pip install "gymnasium[mujoco]"`')))


def test_a_constructor_that_raises_is_a_fault_of_the_environment(registered):
    def entry_point(**_):
        raise ZeroDivisionError("no assets")

    with pytest.raises(EnvironmentFault, match="the constructor of Raises-v0 raised ZeroDivisionError"):
        make(registered("Raises-v0", entry_point))
