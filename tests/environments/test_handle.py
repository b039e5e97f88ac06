"""Environments from whatever a user gives: what is made, what can be made again, and who closes it."""

from __future__ import annotations

import gymnasium
import pytest
from gymnasium.vector import SyncVectorEnv

from environments import worlds
from jaxdaw.environments import (
    CartPole,
    Catch,
    EnvironmentRecipe,
    GymnasiumEnvironment,
    JaxToHost,
    as_environment,
    make,
)
from jaxdaw.errors import ConfigError

CLOSED: list[object] = []


class Closing(worlds.Base):
    """Says when it is closed."""

    def close(self):
        CLOSED.append(self)


@pytest.fixture(autouse=True)
def _nothing_closed():
    CLOSED.clear()


def own():
    return JaxToHost(Catch(), 2)


@pytest.mark.parametrize(
    ("what", "rows", "name", "recipe", "remade"),
    [
        ("CartPole-v1", 3, "CartPole-v1", EnvironmentRecipe("CartPole-v1"), True),
        (
            EnvironmentRecipe("CartPole-v1", max_episode_steps=9),
            3,
            "CartPole-v1",
            EnvironmentRecipe("CartPole-v1", max_episode_steps=9),
            True,
        ),
        (lambda: gymnasium.make("CartPole-v1"), 3, "CartPole-v1", EnvironmentRecipe("CartPole-v1"), True),
        (worlds.Base, 3, "Base", None, True),
        (gymnasium.make("CartPole-v1"), 1, "CartPole-v1", EnvironmentRecipe("CartPole-v1"), True),
        (worlds.Base(), 1, "Base", None, False),
        (gymnasium.make_vec("CartPole-v1", 2, "sync"), 2, "CartPole-v1", EnvironmentRecipe("CartPole-v1"), True),
        (SyncVectorEnv([worlds.Base, worlds.Base]), 2, "Base", None, True),
        (worlds.Opaque([worlds.Base, worlds.Base]), 2, "Opaque", None, False),
        (lambda: SyncVectorEnv([worlds.Base, worlds.Base]), 2, "Base", None, True),
        (make("CartPole-v1", 2), 2, "CartPole-v1", EnvironmentRecipe("CartPole-v1"), True),
        (own(), 2, "JaxToHost", None, True),
        (own, 2, "JaxToHost", None, True),
    ],
)
def test_every_kind_is_an_environment(what, rows, name, recipe, remade):
    handle = as_environment(what, num_envs=3)
    assert (handle.environment.batch_size, handle.name, handle.recipe) == (rows, name, recipe)
    assert handle.can_remake == remade
    assert handle.environment.reset(seed=0).reward.shape == (rows,)
    if not remade:
        with pytest.raises(ConfigError, match=f"{name} cannot be made a second time"):
            handle.remake()
        return
    with handle.remake(2) as another:
        assert another.environment is not handle.environment
        assert another.environment.batch_size == 2
        assert another.is_owned
    handle.environment.step(handle.environment.reset().step_type * 0)  # still open


@pytest.mark.parametrize(
    ("what", "recipe"),
    [
        ("jax:Catch-v0", EnvironmentRecipe("jax:Catch-v0")),
        (Catch(), EnvironmentRecipe("jax:Catch-v0")),
        (Catch, EnvironmentRecipe("jax:Catch-v0")),
        (CartPole(max_episode_steps=None), None),
    ],
)
def test_pure_environments_are_as_they_are(what, recipe):
    with as_environment(what, num_envs=3) as handle:
        assert handle.recipe == recipe
        assert handle.remake(5).environment == handle.environment


@pytest.mark.parametrize("what", [Closing, lambda: SyncVectorEnv([Closing]), lambda: GymnasiumEnvironment(Closing)])
def test_what_we_made_is_closed(what):
    with as_environment(what) as handle:
        handle.environment.reset()
        assert not CLOSED
    assert len(CLOSED) == 1


def test_a_function_makes_one_environment_a_row_and_no_more():
    made = []

    def make_one():
        made.append(Closing())
        return made[-1]

    with as_environment(make_one, num_envs=3) as handle:
        assert len(made) == 3
        with handle.remake(2):
            assert len(made) == 5
        assert made[3:] == CLOSED
    assert sorted(map(id, CLOSED)) == sorted(map(id, made))


@pytest.mark.parametrize("wrap", [lambda env: env, lambda env: SyncVectorEnv([lambda: env]), GymnasiumEnvironment])
def test_the_callers_own_environment_stays_open(wrap):
    with as_environment(wrap(Closing())) as handle:
        handle.environment.reset()
    assert not CLOSED


@pytest.mark.parametrize("what", [3, object(), None, lambda: "no environment"])
def test_what_is_no_environment_is_refused(what):
    with pytest.raises(ConfigError, match=r"no environment was given|made something else"):
        as_environment(what)
