"""A person at the keyboard, whose hands are a script: events that pygame is sent while the window waits for a step."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import gymnasium
import numpy as np
import pygame
import pytest
from gymnasium.spaces import Box, Discrete

from jaxdaw import data
from jaxdaw.cli import main
from jaxdaw.errors import ConfigError, EnvironmentFault
from jaxdaw.recording import record_human

ENVIRONMENT = "Walk-v0"
ACTIONS: list[int] = []
PICTURES: list[tuple[int, ...]] = []


class Walk(gymnasium.Env):
    """A line of cells: 0 goes left, 1 right; cell 2 pays 1 and ends it. Writes down what it was told."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 7}  # noqa: RUF012  as Gymnasium writes it
    observation_space = Box(-100, 100, (1,), np.float32)
    action_space = Discrete(2)

    def __init__(self, render_mode: str | None = None):
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self._cell = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        ACTIONS.append(int(action))
        self._cell += 2 * int(action) - 1
        return np.array([self._cell], np.float32), float(self._cell == 2), self._cell == 2, False, {}

    def render(self):
        return np.full((4, 8, 3), 50 + self._cell, np.uint8)


class Unseen(Walk):
    metadata = {"render_modes": ["human"]}  # noqa: RUF012  as Gymnasium writes it


class Script:
    """In place of pygame's clock: before each step, does what a person would with the keys."""

    def __init__(self, *moves: str):
        self._moves: Iterator[str] = iter(moves)
        self.rates: list[float] = []

    def __call__(self) -> Script:
        return self

    def tick(self, fps: float) -> None:
        self.rates.append(fps)
        move = next(self._moves)
        PICTURES.append(tuple(pygame.display.get_surface().get_at((1, 1)))[:3])
        for word in move.split():
            if word == "close":
                pygame.event.post(pygame.event.Event(pygame.QUIT))
                continue
            kind = pygame.KEYUP if word.startswith("-") else pygame.KEYDOWN
            pygame.event.post(pygame.event.Event(kind, key=pygame.key.key_code(word.strip("+-"))))
            if word[0] not in "+-":  # a tap
                pygame.event.post(pygame.event.Event(pygame.KEYUP, key=pygame.key.key_code(word)))


@pytest.fixture
def hands(monkeypatch):
    """Returns a function that takes a script."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    for name, kind in ((ENVIRONMENT, Walk), ("Unseen-v0", Unseen)):
        monkeypatch.setitem(gymnasium.registry, name, gymnasium.envs.registration.EnvSpec(name, entry_point=kind))
    ACTIONS.clear()
    PICTURES.clear()

    def play(*moves: str) -> Script:
        script = Script(*moves)
        monkeypatch.setattr(pygame.time, "Clock", script)
        return script

    return play


def test_what_a_person_did_is_recorded(hands, tmp_path):
    script = hands("", "right", "left", "+right", "", "", "-right", "right", "right", "right", "close")
    told = []
    record_human(ENVIRONMENT, tmp_path / "data", seed=5, watch=lambda *x: told.append(x), tell=told.append)
    found = data.read(tmp_path / "data")
    # A tap is one step, a held key one a tick, no key none; the second episode waits for its own first key.
    assert [episode.action.tolist() for episode in found] == [[1, 0, 1, 1], [1, 1]]
    assert [episode.action.tolist() for episode in found] == [ACTIONS[:4], ACTIONS[4:6]]
    assert found[0].observation[:, 0].tolist() == [0, 1, 0, 1, 2]
    assert found.returns.tolist() == [1, 1]
    assert found.terminated.all()
    assert [episode.info for episode in found] == [{"seed": 5}, {"seed": 6}]
    assert found.metadata == {"environment": ENVIRONMENT, "policy": "human"}
    assert [line for line in told if isinstance(line, tuple)] == [(1, 1.0), (2, 1.0)]
    assert "        left  0" in told
    assert set(script.rates) == {7}  # the environment's own
    assert PICTURES[0] == (50,) * 3  # cell 0
    assert PICTURES[2] == (51,) * 3  # cell 1, after the first step


def test_restarting_drops_the_episode_and_ending_drops_the_one_at_hand(hands, tmp_path):
    hands("right", "r", "right", "right", "right", "escape")
    record_human(ENVIRONMENT, tmp_path / "data", seed=3, tell=str)
    found = data.read(tmp_path / "data")
    assert [episode.action.tolist() for episode in found] == [[1, 1]]
    assert [episode.info for episode in found] == [{"seed": 4}]  # 3 was dropped
    assert ACTIONS == [1, 1, 1, 1]


def test_a_finished_episode_is_on_the_disk_before_the_next_begins(hands, tmp_path):
    hands("right", "right")  # then the script ends, as a crash would
    with pytest.raises(StopIteration):
        record_human(ENVIRONMENT, tmp_path / "data", tell=str)
    assert len(data.read(tmp_path / "data")) == 1


def test_as_many_episodes_as_asked_for_and_a_directory_is_continued(hands, tmp_path, capsys):
    for seed in ("0", "1"):
        script = hands("d", "d", "d", "d")
        asked = ["--human", "--out", str(tmp_path / "data"), "--episodes", "1", "--seed", seed, "--fps", "50"]
        assert main(["data", "record", ENVIRONMENT, *asked]) == 0
        assert script.rates == [50, 50]
    told = capsys.readouterr()
    assert str(tmp_path / "data") in told.out
    assert "episode 1/1: return 1.0" in told.err
    assert len(data.read(tmp_path / "data")) == 2


def test_keys_of_ones_own_and_an_idle_action(hands, tmp_path):
    hands("right", "x", "", "", "x", "close")
    record_human(ENVIRONMENT, tmp_path / "data", keys="x=1,none=0", tell=str)
    assert ACTIONS == [0, 1, 0, 0, 1]  # begins with any key, then goes on by itself


def test_a_real_environment_is_shown_and_recorded(hands, tmp_path):
    hands(*["left"] * 60)
    record_human("CartPole-v1", tmp_path / "data", 1, seed=0, tell=str)
    found = data.read(tmp_path / "data")
    world = gymnasium.make("CartPole-v1")
    first, _ = world.reset(seed=0)
    np.testing.assert_array_equal(found[0].observation[0], first)
    following = [world.step(0)[0] for _ in range(len(found[0]))]
    np.testing.assert_array_equal(found[0].observation[1:], following)
    assert found.terminated.all()


def test_an_environment_that_cannot_be_drawn_is_refused(hands, tmp_path, capsys):
    with pytest.raises(EnvironmentFault, match="cannot be drawn") as caught:
        record_human("Unseen-v0", tmp_path / "data")
    assert "expected  the render mode rgb_array          got  human" in str(caught.value)
    assert main(["data", "record", "Unseen-v0", "--human", "--out", str(tmp_path / "data")]) == 1
    assert "EnvironmentFault: Unseen-v0 cannot be drawn" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("driver", ["offscreen", "x11"])
def test_no_display_is_told(hands, tmp_path, monkeypatch, driver):
    monkeypatch.delenv("DISPLAY", raising=False)
    if driver == "x11":
        monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    else:  # what SDL falls back to when nobody can see
        monkeypatch.delenv("SDL_VIDEODRIVER")
        monkeypatch.setattr(pygame.display, "get_driver", lambda: "offscreen")
    with pytest.raises(EnvironmentFault, match="no window can be opened") as caught:
        record_human(ENVIRONMENT, tmp_path / "data")
    assert "expected  a display" in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_without_pygame_the_line_that_installs_it_is_told(hands, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxdaw\[video\]'"):
        record_human(ENVIRONMENT, tmp_path / "data")


def test_what_makes_no_sense_is_refused_before_a_window_opens(tmp_path, capsys):
    with pytest.raises(ConfigError, match="data record --human CartPole-v1"):
        record_human("jax:CartPole-v1", tmp_path)
    with pytest.raises(ConfigError, match="episodes is outside"):
        record_human("CartPole-v1", tmp_path, 0)
    with pytest.raises(ConfigError, match="fps is outside"):
        record_human("CartPole-v1", tmp_path, fps=0)
    out = ["--out", str(tmp_path / "data")]
    assert main(["data", "record", "CartPole-v1", "--human", "--env", "CartPole-v1", *out]) == 2
    assert main(["data", "record", "runs/none", "--keys", "a=1", *out]) == 2
    assert "--keys and --fps are for a person" in capsys.readouterr().err
