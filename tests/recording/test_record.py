"""A policy recorded and played: every kind of action, time limits, rates, text, and what is refused."""

import gymnasium
import numpy as np
import pytest
from PIL import Image

from environments import worlds
from jaxdaw import data, environments, specs
from jaxdaw.environments import EnvironmentRecipe
from jaxdaw.errors import ConfigError, EnvironmentFault, JaxdawWarning
from jaxdaw.policies import RandomPolicy
from jaxdaw.recording import play, record, record_demonstrations


@pytest.fixture
def policy():
    world = environments.make("CartPole-v1")
    return RandomPolicy(world.time_step_spec(), world.action_spec)


def test_a_gif_has_a_frame_for_every_step_and_needs_no_display(policy, tmp_path):
    returns = list(play(policy, "CartPole-v1", episodes=1, seed=3, render_mode="none"))
    path = record(policy, "CartPole-v1", tmp_path / "video.gif", seed=3)
    with Image.open(path) as picture:
        steps = int(returns[0])
        assert steps - 2 <= picture.n_frames <= steps + 1  # one more than steps; equal neighbours are stored once
        assert np.asarray(picture.convert("RGB")).std() > 1


def test_an_mp4_is_written(policy, tmp_path):
    assert record(policy, "jax:CartPole-v1", tmp_path / "video.mp4").stat().st_size > 1_000


@pytest.fixture
def registered(monkeypatch):
    """Registers environments that exist in this process only."""
    for name, kind in (("Acting-v0", worlds.Acting), ("TextOnly-v0", worlds.TextOnly), ("Unseen-v0", worlds.Base)):
        known = gymnasium.envs.registration.EnvSpec(name, entry_point=kind)
        monkeypatch.setitem(gymnasium.registry, name, known)


def random(recipe):
    world = EnvironmentRecipe(recipe.id, recipe.kwargs).make()
    return RandomPolicy(world.time_step_spec(), world.action_spec)


LIMIT = {"endless": True}


@pytest.mark.parametrize("kind", worlds.ACTION_SPACES)
def test_every_kind_of_action_is_recorded_played_and_demonstrated_over_several_episodes(registered, tmp_path, kind):
    recipe = EnvironmentRecipe("Acting-v0", {"kind": kind, **LIMIT}, max_episode_steps=3)
    policy = random(recipe)
    assert list(play(policy, recipe, 3, render_mode="none")) == [3.0] * 3
    path = record(policy, recipe, tmp_path / "video.gif", episodes=2)
    with Image.open(path) as video:
        assert video.n_frames == 8  # 2 episodes of 1 first picture and 3 more
    found = data.read(record_demonstrations(policy, recipe, tmp_path / "data", 2))
    assert [len(episode) for episode in found] == [3, 3]
    assert found.truncated.all()
    assert found.metadata["recipe"] == recipe.to_json()


def test_a_float_action_outside_its_bounds_is_recorded_as_it_was_taken(registered, tmp_path):
    recipe = EnvironmentRecipe("Acting-v0", {"kind": "floats"}, max_episode_steps=3)
    world = recipe.make()
    narrow = world.action_spec
    wide = specs.BoundedTensorSpec(narrow.shape, narrow.dtype, narrow.minimum - 9, narrow.maximum + 9)
    policy = RandomPolicy(world.time_step_spec(), wide)
    found = data.read(record_demonstrations(policy, recipe, tmp_path / "data", 4))
    assert data.check(found).errors == ()
    assert (found[0].action <= narrow.maximum).all()
    assert list(play(policy, recipe, 1, render_mode="none")) == [3.0]


def test_an_endless_environment_is_cut_and_warned_of(registered, tmp_path):
    recipe = EnvironmentRecipe("Acting-v0", LIMIT)
    policy = random(recipe)
    with Image.open(record(policy, recipe, tmp_path / "a.gif", max_episode_steps=6)) as video:
        assert video.n_frames == 7
    assert list(play(policy, recipe, 2, render_mode="none", max_episode_steps=6)) == [6.0, 6.0]
    with pytest.warns(JaxdawWarning, match="Acting-v0 declares no time limit(.|\n)*--max-episode-steps"):
        assert list(play(policy, recipe, 1, render_mode="none")) == [10_000.0]
    path = record_demonstrations(policy, recipe, tmp_path / "data", 1, max_episode_steps=6)
    assert data.read(path)[0].truncated


@pytest.mark.parametrize(("fps", "expected"), [(None, 20), (30, 33.3), (7, 142.9), (60, 33.3), (1000, 20)])
def test_a_gif_runs_at_the_rate_of_the_environment_or_the_one_asked_for(registered, tmp_path, fps, expected):
    recipe = EnvironmentRecipe("Acting-v0", LIMIT, max_episode_steps=119)
    with Image.open(record(random(recipe), recipe, tmp_path / "a.gif", fps=fps)) as video:
        durations = [(video.seek(number), video.info["duration"])[1] for number in range(video.n_frames)]
    shown = {None: 120, 30: 120, 7: 120, 60: 60, 1000: 6}[fps]
    assert video.n_frames == shown
    assert min(durations) >= 20  # milliseconds; players show shorter ones for a tenth of a second
    assert abs(sum(durations) / shown - expected) < 0.2


def test_an_environment_that_draws_only_text_is_printed_and_not_recorded(registered, tmp_path, capsys):
    recipe = EnvironmentRecipe("TextOnly-v0", max_episode_steps=9)
    with pytest.raises(EnvironmentFault, match="TextOnly-v0 cannot be drawn") as caught:
        record(random(recipe), recipe, tmp_path / "a.gif")
    assert "an environment that draws text only" in str(caught.value)
    assert "jaxdaw play RUN --render-mode ansi" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert list(play(random(recipe), recipe, 1, render_mode="ansi")) == [3.0]
    assert capsys.readouterr().out == "step 0\nstep 1\nstep 2\nstep 3\n"


@pytest.mark.parametrize("drawn", ["text", None, np.zeros((4, 8)), np.zeros((4, 8, 3)), []])
def test_pictures_that_are_none_are_told_and_nothing_is_left_behind(registered, monkeypatch, tmp_path, drawn):
    monkeypatch.setattr(worlds.Acting, "render", lambda self: drawn)
    recipe = EnvironmentRecipe("Acting-v0", max_episode_steps=9)
    with pytest.raises(EnvironmentFault, match=r"draws no pictures|cannot be drawn"):
        record(random(recipe), recipe, tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []


def test_a_recording_that_fails_leaves_the_old_one(registered, tmp_path):
    recipe = EnvironmentRecipe("Acting-v0", max_episode_steps=9)
    (tmp_path / "a.gif").write_text("old")

    class Failing(RandomPolicy):
        def bind(self, seed=0):
            raise RuntimeError("no")

    world = recipe.make()
    with pytest.raises(RuntimeError, match="no"):
        record(Failing(world.time_step_spec(), world.action_spec), recipe, tmp_path / "a.gif")
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]
    assert (tmp_path / "a.gif").read_text() == "old"


def test_environments_as_objects_and_functions_are_taken_and_only_ours_are_closed(tmp_path):
    drawn = worlds.Acting(render_mode="rgb_array")
    policy = random_of(drawn)
    assert record(policy, drawn, tmp_path / "a.gif", max_episode_steps=9).stat().st_size > 0
    assert not drawn.is_closed
    made = []

    def make():
        made.append(worlds.Acting(render_mode="rgb_array"))
        return made[-1]

    record(policy, make, tmp_path / "b.gif", max_episode_steps=9)
    assert [world.is_closed for world in made] == [True]
    assert list(play(policy, drawn, 1, render_mode="none", max_episode_steps=9)) == [3.0]
    with pytest.raises(EnvironmentFault, match="was not made to be drawn"):
        record(policy, worlds.Acting(), tmp_path / "c.gif", max_episode_steps=9)
    with pytest.raises(ConfigError, match="one row of CartPole-v1 is recorded"):
        list(play(policy, environments.make("CartPole-v1", 2), render_mode="none"))


def random_of(env):
    world = environments.GymnasiumEnvironment(env)
    return RandomPolicy(world.time_step_spec(), world.action_spec)


def test_pure_environments_play_as_they_are_and_are_drawn_by_gymnasium(tmp_path):
    for name in ("jax:Catch-v0", environments.Catch()):
        catch = environments.Catch()
        policy = RandomPolicy(catch.time_step_spec(), catch.action_spec)
        assert len(list(play(policy, name, 2, render_mode="none"))) == 2
        with pytest.raises(EnvironmentFault, match="jax:Catch-v0 cannot be drawn"):
            record(policy, name, tmp_path / "a.gif")
    pole = environments.CartPole(max_episode_steps=5)
    policy = RandomPolicy(pole.time_step_spec(), pole.action_spec)
    with Image.open(record(policy, pole, tmp_path / "a.gif")) as video:
        assert 2 <= video.n_frames <= 6  # equal neighbours are stored once


def test_what_is_outside_its_range_is_refused_before_an_environment_is_made(policy, tmp_path):
    for call in (
        lambda: record(policy, "Nowhere-v0", tmp_path / "a.gif", episodes=0),
        lambda: record(policy, "Nowhere-v0", tmp_path / "a.gif", fps=0),
        lambda: list(play(policy, "Nowhere-v0", episodes=0)),
        lambda: list(play(policy, "Nowhere-v0", render_mode="window")),
    ):
        with pytest.raises(ConfigError, match=r"outside its range|no such render mode"):
            call()


def test_what_cannot_be_recorded_is_said(policy, tmp_path):
    with pytest.raises(ConfigError, match=r"\.gif or \.mp4"):
        record(policy, "CartPole-v1", tmp_path / "video.avi")


def test_play_gives_the_return_of_every_episode(policy):
    assert len(list(play(policy, "CartPole-v1", episodes=3, render_mode="none"))) == 3
