"""Demonstrations of a person, who acts at the keyboard in a window."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxdaw.data import DemonstrationWriter
from jaxdaw.environments import EnvironmentLike
from jaxdaw.errors import ConfigError, EnvironmentFault, missing_extra
from jaxdaw.recording._demonstrate import EpisodeInTheMaking, described, refuse_pure
from jaxdaw.recording._keys import Keys, default_keys, parse_keys
from jaxdaw.recording._single_environment import SingleEnvironment, open_single, picture
from jaxdaw.specs import StepType

_SMALLEST_WINDOW = 480  # pixels; smaller pictures are enlarged by a whole number
_NO_LIMIT = 2**31  # steps: a person ends an endless episode with R or Escape
_UNSEEN = ", and a person cannot act in what cannot be seen"
_UNSEEN_FIX = "jaxdaw data record RUN records a policy, which needs no picture"


def record_human(
    environment: EnvironmentLike,
    path: str | Path,
    episodes: int | None = None,
    seed: int = 0,
    *,
    keys: str = "",
    fps: float | None = None,
    watch: Callable[[int, float], Any] | None = None,
    tell: Callable[[str], Any] = print,
) -> Path:
    """Lets a person act in a window, writes every finished episode into a directory, and returns its path.

    An episode begins with any key and is durable when it ends. R drops it and restarts; Escape, or closing the
    window, ends the recording and drops the episode at hand. A directory that holds demonstrations of the same
    environment is continued.

    Args:
      environment: an id or a recipe of a Gymnasium environment that renders `rgb_array`, or an environment of one row
        that was made with this mode. Its own time limit ends episodes, and nothing else does.
      path: of the directory; made when the window is open.
      episodes: how many; None goes on until the window is closed.
      seed: of the first episode; each, a dropped one among them, has the next.
      keys: what the keys do, as `left=0,right=1`, `left+up=3`, `none=0`, or `left=-1:0` for two floats. Without, the
        environment's own `get_keys_to_action`, else digits and arrows, see the lines that are told.
      fps: steps a second; None is the environment's own `render_fps`, or 30.
      watch: is called with the number and the return of every finished episode.
      tell: is called with each line that a person should read.

    Raises:
      ConfigError: a pure environment, an action that keys cannot express, or `keys` in another form.
      EnvironmentFault: the environment draws no pictures, or there is no display.
      ImportError: pygame is absent.
      StorageError: the directory holds something else, or cannot be written.
    """
    if episodes is not None and episodes < 1:
        raise ConfigError("episodes is outside its range", expected="at least 1", got=str(episodes))
    if fps is not None and not 0 < fps < float("inf"):
        raise ConfigError("fps is outside its range", expected="above 0", got=str(fps))
    refuse_pure(environment, "jaxdaw data record --human")
    pygame = _pygame()
    with open_single(environment, "rgb_array", _NO_LIMIT, purpose=_UNSEEN, fix=_UNSEEN_FIX) as single:
        world = single.environment
        bindings = parse_keys(keys, world.action_spec) if keys else default_keys(world.action_spec, single.known_keys)
        window = _Window(pygame, single.name, fps or single.fps)
        try:
            world.reset(seed=seed)
            window.show(picture(single), "")
            for line in (*bindings.lines(), "           r  restarts", "      escape  ends"):
                tell(line)
            metadata = described(single, "human")
            with DemonstrationWriter(path, world.observation_spec, world.action_spec, metadata=metadata) as writer:
                _play(window, single, bindings, writer, episodes, seed, watch)
        finally:
            window.close()
    return Path(path)


class _Window:
    """A window and the keys that are held in it."""

    def __init__(self, pygame: Any, title: str, fps: float):
        self._pygame, self._title, self._fps = pygame, title, fps
        self._screen: Any = None
        self._held: set[str] = set()
        self._tapped: set[str] = set()
        self.is_closed = self.restarts = False
        try:
            pygame.display.init()
            driver = pygame.display.get_driver()
        except pygame.error as error:
            raise _no_display(str(error)) from error
        if driver == "offscreen" and os.environ.get("SDL_VIDEODRIVER") != driver:  # SDL's fallback, which shows nothing
            pygame.display.quit()
            raise _no_display("only a driver that shows nothing")
        self._clock = pygame.time.Clock()

    def show(self, picture: np.ndarray, about: str) -> None:
        """Draws a picture `[height, width, 3]`, with a few words in the title."""
        if self._screen is None:
            height, width = picture.shape[:2]
            scale = max(_SMALLEST_WINDOW // max(height, width), 1)
            try:
                self._screen = self._pygame.display.set_mode((width * scale, height * scale))
            except self._pygame.error as error:
                raise _no_display(str(error)) from error
        surface = self._pygame.surfarray.make_surface(np.swapaxes(picture, 0, 1))
        self._screen.blit(self._pygame.transform.scale(surface, self._screen.get_size()), (0, 0))
        self._pygame.display.set_caption(f"{self._title}   {about}")
        self._pygame.display.flip()

    def keys(self) -> set[str]:
        """Waits for the time of the next step, and returns the keys held then, or tapped since the last one."""
        self._clock.tick(self._fps)
        for event in self._pygame.event.get():
            name = self._pygame.key.name(event.key) if hasattr(event, "key") else ""
            if event.type == self._pygame.QUIT or name == "escape":
                self.is_closed = True
            elif event.type == self._pygame.KEYDOWN and name == "r":
                self.restarts = True
            elif event.type == self._pygame.KEYDOWN:
                self._held.add(name)
                self._tapped.add(name)
            elif event.type == self._pygame.KEYUP:
                self._held.discard(name)
            elif (
                event.type == self._pygame.WINDOWFOCUSLOST
            ):  # the release of a key outside of the window is not reported
                self._held.clear()
        now, self._tapped = self._held | self._tapped, set()
        return now

    def forget(self) -> None:
        """Counts no key as held until it is pressed again."""
        self.restarts = False
        self._held.clear()
        self._tapped.clear()

    def close(self) -> None:
        self._pygame.display.quit()


def _play(
    window: _Window,
    single: SingleEnvironment,
    bindings: Keys,
    writer: DemonstrationWriter,
    episodes: int | None,
    seed: int,
    watch: Callable[[int, float], Any] | None,
) -> None:
    world = single.environment
    recorded = attempt = 0
    while (episodes is None or recorded < episodes) and not window.is_closed:
        window.forget()
        step = world.reset(seed=(seed + attempt) % 2**32)
        episode = EpisodeInTheMaking(step)
        info = {"seed": (seed + attempt) % 2**32}
        attempt += 1
        while step.step_type[0] != StepType.LAST:
            window.show(picture(single), f"episode {recorded + 1}   step {len(episode)}   return {episode.total:g}")
            held = window.keys()
            if window.is_closed or window.restarts:
                break
            action = bindings.action(held)
            if action is None or (not len(episode) and not held):
                continue
            step = world.step(action[None])
            episode.add(action[None], step)
        else:
            writer.add(episode.finished(info))
            writer.flush()
            recorded += 1
            if watch is not None:
                watch(recorded, episode.total)


def _no_display(got: str) -> EnvironmentFault:
    return EnvironmentFault(
        "no window can be opened",
        expected="a display",
        got=got,
        cause="a terminal without a screen, such as ssh or a container.",
        fix="ssh -X, or record where there is a screen and copy the directory",
    )


def _pygame() -> Any:
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ImportError:
        raise missing_extra("pygame", "video", "Recording from the keyboard") from None
    return pygame
