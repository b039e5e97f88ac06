"""Recipes: what they make, what they keep, and what they refuse."""

from __future__ import annotations

import json
import sys
import types

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit, TransformReward

from environments import worlds
from jaxdaw.environments import CartPole, Catch, EnvironmentRecipe, GymnasiumEnvironment
from jaxdaw.environments._recipe import recipe_of
from jaxdaw.errors import ConfigError, EnvironmentFault


class Doubled(gymnasium.RewardWrapper):
    """Twice the reward."""

    def reward(self, reward):
        return 2.0 * float(reward)


class PlusOne(gymnasium.RewardWrapper):
    """The reward and one."""

    def reward(self, reward):
        return 1.0 + float(reward)


@pytest.fixture
def wrappers(monkeypatch):
    module = types.ModuleType("own_wrappers")
    module.Doubled, module.PlusOne, module.nothing = Doubled, PlusOne, lambda environment: None
    module.needs_more = lambda environment, factor: environment
    monkeypatch.setitem(sys.modules, "own_wrappers", module)
    return module


def test_keyword_arguments_reach_the_environment():
    world = EnvironmentRecipe("FrozenLake-v1", {"is_slippery": False, "map_name": "8x8"}).make()
    assert world.observation_spec.maximum == 63
    world.reset(seed=0)
    assert [int(world.step(np.array([2])).observation[0]) for _ in range(3)] == [1, 2, 3]  # right, without slipping


def test_wrappers_are_applied_in_their_order(wrappers):
    for names, reward in ((("Doubled", "PlusOne"), 3.0), (("PlusOne", "Doubled"), 4.0)):
        recipe = EnvironmentRecipe("CartPole-v1", wrappers=tuple(f"own_wrappers:{name}" for name in names))
        world = recipe.make(num_envs=2)
        world.reset(seed=0)
        assert world.step(np.zeros(2, int)).reward.tolist() == [reward] * 2


def test_the_time_limit_holds_in_every_kind():
    assert EnvironmentRecipe("CartPole-v1", max_episode_steps=7).make(3).max_episode_steps == 7
    assert EnvironmentRecipe("jax:CartPole-v1", max_episode_steps=7).make(3) == CartPole(max_episode_steps=7)
    assert EnvironmentRecipe("jax:CartPole-v1", max_episode_steps=7).make_gymnasium().spec.max_episode_steps == 7
    assert EnvironmentRecipe("CliffWalking-v1").make().max_episode_steps is None


def test_a_pure_environment_is_drawn_by_the_gymnasium_one_of_its_name():
    with EnvironmentRecipe("jax:CartPole-v1").make(render_mode="rgb_array") as world:
        assert isinstance(world, GymnasiumEnvironment)
        world.reset(seed=0)
        assert world.render()[0].shape == (400, 600, 3)
    with pytest.raises(EnvironmentFault, match="jax:Catch-v0 cannot be drawn"):
        EnvironmentRecipe("jax:Catch-v0").make(render_mode="rgb_array")


@pytest.mark.parametrize(
    "recipe",
    [
        EnvironmentRecipe("CartPole-v1"),
        EnvironmentRecipe("FrozenLake-v1", {"is_slippery": False, "desc": ["SF", "HG"]}, max_episode_steps=9),
        EnvironmentRecipe("my_package:MyEnv-v0", {"a": None}, ("one.two:Three.four", "five:six")),
        EnvironmentRecipe("jax:Catch-v0", {"rows": 6}),
    ],
)
def test_a_recipe_goes_through_json(recipe):
    back = EnvironmentRecipe.from_json(json.loads(json.dumps(recipe.to_json())))
    assert back == recipe
    assert hash(back) == hash(recipe)


def test_a_bare_id_is_a_recipe_and_absent_fields_are_the_defaults():
    assert EnvironmentRecipe.from_json("CartPole-v1") == EnvironmentRecipe("CartPole-v1")
    assert EnvironmentRecipe.from_json({"id": "CartPole-v1"}) == EnvironmentRecipe("CartPole-v1")
    assert EnvironmentRecipe("CartPole-v1").kwargs == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"id": "CartPole-v1", "wraper": []}, "no field 'wraper'(.|\n)*did you mean wrappers"),
        ({"kwargs": {}}, "has no id"),
        ([], "no JSON object"),
        ({"id": 3}, "id is no environment id"),
        ({"id": ""}, "id is no environment id"),
        ({"id": "A-v0", "kwargs": [1]}, "no JSON values"),
        ({"id": "A-v0", "kwargs": {"f": float("nan")}}, "no JSON values"),
        ({"id": "A-v0", "kwargs": {"f": print}}, "no JSON values"),
        ({"id": "A-v0", "kwargs": {"max_episode_steps": 3}}, "max_episode_steps is no keyword argument"),
        ({"id": "A-v0", "kwargs": {"render_mode": "human"}}, "render_mode is no keyword argument"),
        ({"id": "A-v0", "wrappers": ["os.system"]}, "named by its import path"),
        ({"id": "A-v0", "wrappers": ["os:system('x')"]}, "named by its import path"),
        ({"id": "A-v0", "wrappers": [3]}, "named by its import path"),
        ({"id": "jax:Catch-v0", "wrappers": ["a:B"]}, "wrappers take Gymnasium environments"),
        ({"id": "A-v0", "max_episode_steps": 0}, "max_episode_steps is outside its range"),
        ({"id": "A-v0", "max_episode_steps": 1.5}, "max_episode_steps is outside its range"),
        ({"id": "A-v0", "max_episode_steps": True}, "max_episode_steps is outside its range"),
    ],
)
def test_what_is_no_recipe_is_refused(value, text):
    with pytest.raises(ConfigError, match=text):
        EnvironmentRecipe.from_json(value)


def test_modules_are_named_before_anything_is_imported(monkeypatch):
    monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(f"{name} was imported"))
    recipe = EnvironmentRecipe("evil:MyEnv-v0", wrappers=("worse.still:Wrapper", "evil:Wrapper"))
    assert recipe.modules() == ("evil", "worse.still")
    assert EnvironmentRecipe("CartPole-v1", wrappers=("gymnasium.wrappers:FlattenObservation",)).modules() == ()
    assert EnvironmentRecipe("CartPole-v1", wrappers=("gymnasium.wrappers_of_mine:X",)).modules() != ()
    assert EnvironmentRecipe("jax:CartPole-v1").modules() == ()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("nowhere_to_be_found.wrappers:X", "there is no wrapper(.|\n)*pip install nowhere_to_be_found"),
        ("own_wrappers:Absent", "there is no wrapper 'own_wrappers:Absent'"),
        ("own_wrappers:needs_more", "does not take an environment alone"),
        ("own_wrappers:nothing", "returned something else"),
    ],
)
def test_a_wrapper_that_cannot_be_applied_is_named(wrappers, path, text):
    with pytest.raises(ConfigError, match=text):
        EnvironmentRecipe("CartPole-v1", wrappers=(path,)).make()


def test_a_recipe_reads_in_one_line():
    recipe = EnvironmentRecipe("FrozenLake-v1", {"is_slippery": False}, ("a:B",), 50)
    assert str(recipe) == "FrozenLake-v1(is_slippery=False), in a:B, at most 50 steps"
    assert str(EnvironmentRecipe("CartPole-v1")) == "CartPole-v1"


def test_the_recipe_of_an_environment_that_exists():
    assert recipe_of(gymnasium.make("CartPole-v1")) == EnvironmentRecipe("CartPole-v1")
    limited = gymnasium.make("CartPole-v1", max_episode_steps=9, render_mode="rgb_array")
    assert recipe_of(limited) == EnvironmentRecipe("CartPole-v1", max_episode_steps=9)
    cut = TimeLimit(gymnasium.make("CliffWalking-v1"), 5)
    assert recipe_of(cut) == EnvironmentRecipe("CliffWalking-v1", max_episode_steps=5)
    lake = recipe_of(gymnasium.make("FrozenLake-v1", is_slippery=False))
    assert lake is not None
    assert lake.kwargs["is_slippery"] is False
    flat = gymnasium.wrappers.FlattenObservation(gymnasium.make("CartPole-v1"))
    assert recipe_of(flat).wrappers == ("gymnasium.wrappers.transform_observation:FlattenObservation",)
    assert recipe_of(CartPole(max_episode_steps=9)) == EnvironmentRecipe("jax:CartPole-v1", max_episode_steps=9)
    assert recipe_of(Catch(rows=6)) == EnvironmentRecipe("jax:Catch-v0", {"rows": 6})


def test_no_recipe_is_told_where_it_would_make_something_else(monkeypatch):
    known = gymnasium.envs.registration.EnvSpec("Base-v0", entry_point=worlds.Base)
    monkeypatch.setitem(gymnasium.registry, "Base-v0", known)
    for environment in (
        worlds.Base(),
        gymnasium.make("Base-v0"),  # registered in this process only
        Doubled(gymnasium.make("CartPole-v1")),  # records no arguments
        TransformReward(gymnasium.make("CartPole-v1"), lambda reward: reward),
        CartPole(max_episode_steps=None),
    ):
        assert recipe_of(environment) is None
