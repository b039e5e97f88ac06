"""record and play: a policy as a GIF or MP4, in a window, or as text."""

from __future__ import annotations

import itertools
import math
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxdaw.drivers import episode_budget
from jaxdaw.environments import EnvironmentLike
from jaxdaw.errors import ConfigError, missing_extra
from jaxdaw.policies import Policy
from jaxdaw.recording._single_environment import SingleEnvironment, open_single, picture, text
from jaxdaw.trajectories import StepType

_LARGEST_GIF_RATE = 50.0  # frames a second; players show a frame of less than 2/100 s for 1/10 s


def record(
    policy: Policy,
    environment: EnvironmentLike,
    path: str | Path,
    episodes: int = 1,
    fps: float | None = None,
    seed: int = 0,
    *,
    max_episode_steps: int | None = None,
) -> Path:
    """Records whole episodes and returns the path.

    Args:
      policy: how to act.
      environment: an id or a recipe of an environment that renders `rgb_array`; `jax:Name` is drawn by the Gymnasium
        environment of that name. Or an environment of one row, or a function that makes one, with that render mode.
      path: .gif, or .mp4 with the extra `video`. It is replaced when the recording is complete.
      episodes: how many, one after another.
      fps: frames a second; None is the environment's own `render_fps`, or 30. Of more than 50, a GIF shows every second
        frame, or fewer, at the same speed.
      seed: of the environment and of the policy's choices.
      max_episode_steps: actions after which an episode is cut; None is the environment's own limit, or 10,000.

    Raises:
      ConfigError: another ending than .gif or .mp4, or a number outside its range.
      EnvironmentFault: the environment draws no pictures.
      ImportError: an MP4 without the extra `video`.

    Warns:
      JaxdawWarning: the environment declares no time limit, and none is asked for.
    """
    path = Path(path)
    if path.suffix not in (".gif", ".mp4"):
        raise ConfigError("a recording is a GIF or an MP4", expected=".gif or .mp4", got=path.suffix or "no ending")
    _check_episodes(episodes)
    if fps is not None and not 0 < fps < math.inf:
        raise ConfigError("fps is outside its range", expected="above 0", got=str(fps))
    write = _write_gif if path.suffix == ".gif" else _mp4_writer()
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    unfinished = path.with_name(f".{path.stem}.unfinished{path.suffix}")
    with open_single(environment, "rgb_array", max_episode_steps) as single:
        try:
            write(unfinished, _pictures(policy, single, episodes, seed, max_episode_steps), fps or single.fps)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    return path


def play(
    policy: Policy,
    environment: EnvironmentLike,
    episodes: int = 3,
    seed: int = 0,
    render_mode: str = "human",
    *,
    max_episode_steps: int | None = None,
) -> Iterator[float]:
    """Plays whole episodes and yields the return of each.

    Args:
      policy, environment, seed, max_episode_steps: as for `record`.
      episodes: how many.
      render_mode: "human" opens a window, "ansi" prints, "none" shows nothing and takes environments that draw nothing.

    Raises:
      ConfigError: a number outside its range, or another render mode.
      EnvironmentFault: the environment does not draw in this mode.

    Warns:
      JaxdawWarning: the environment declares no time limit, and none is asked for.
    """
    if render_mode not in ("human", "ansi", "none"):
        raise ConfigError("there is no such render mode", expected="human, ansi, none", got=repr(render_mode))
    _check_episodes(episodes)
    mode = None if render_mode == "none" else render_mode
    with open_single(environment, mode, max_episode_steps) as single:
        show = (lambda: print(text(single))) if mode == "ansi" else lambda: None
        steps = _steps(policy, single, episodes, seed, max_episode_steps, show)
        yield from (total for total in steps if total is not None)


def _pictures(
    policy: Policy, single: SingleEnvironment, episodes: int, seed: int, max_episode_steps: int | None
) -> Iterator[np.ndarray]:
    """Yields the pictures of all steps, as they are taken: a recording need not fit into memory."""
    drawn: list[np.ndarray] = []
    for _ in _steps(policy, single, episodes, seed, max_episode_steps, lambda: drawn.append(picture(single))):
        yield from drawn
        drawn.clear()


def _steps(
    policy: Policy,
    single: SingleEnvironment,
    episodes: int,
    seed: int,
    max_episode_steps: int | None,
    show: Callable[[], Any],
) -> Iterator[float | None]:
    """Acts, calls `show` after every step and yields None, or the return of the episode that has ended or was cut.

    An episode begins with `reset`, so that no action has to be invented for the step from LAST to FIRST.
    """
    world, act = single.environment, policy.bind(seed)
    budget = episode_budget(world, max_episode_steps)
    for episode in range(episodes):
        time_step, total = world.reset(seed=seed) if episode == 0 else world.reset(), 0.0
        act.reset()
        show()
        for _ in range(budget):
            time_step = world.clipped_step(act(time_step.observation))
            total += float(time_step.reward[0])
            show()
            if time_step.step_type[0] == StepType.LAST:
                break
            yield None
        yield total


def _write_gif(path: Path, pictures: Iterator[np.ndarray], fps: float) -> None:
    from PIL import Image

    stride = math.ceil(fps / _LARGEST_GIF_RATE)

    def frames() -> Iterator[Any]:
        for number, shown in enumerate(itertools.islice(pictures, None, None, stride)):
            frame = Image.fromarray(shown)
            # GIF durations are whole hundredths of a second: rounding start times instead of durations keeps the speed.
            begin, end = (round(100 * (number + i) * stride / fps) for i in (0, 1))
            frame.info["duration"] = 10 * (end - begin)
            yield frame

    every = frames()
    next(every).save(path, save_all=True, append_images=every, loop=0)


def _mp4_writer() -> Callable[[Path, Iterator[np.ndarray], float], None]:
    try:
        import imageio.v2 as imageio
    except ImportError as error:
        raise missing_extra("imageio", "video", "An MP4") from error

    def write(path: Path, pictures: Iterator[np.ndarray], fps: float) -> None:
        with warnings.catch_warnings():
            # JAX warns of forks in threaded programs; this child becomes ffmpeg at once and runs no Python.
            warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called", category=RuntimeWarning)
            writer: Any = imageio.get_writer(path, fps=fps, macro_block_size=1)
            with writer:
                for frame in pictures:
                    writer.append_data(frame)

    return write


def _check_episodes(episodes: int) -> None:
    if episodes < 1:
        raise ConfigError("episodes is outside its range", expected="at least 1", got=str(episodes))
