"""Pictures of a policy at work: a GIF or MP4 without a display, or a window."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxdaw import environments
from jaxdaw.errors import ConfigError, EnvironmentFault, missing_extra
from jaxdaw.policies import Policy
from jaxdaw.trajectories import StepType


def record(
    policy: Policy, environment: str, path: str | Path, episodes: int = 1, fps: int | None = None, seed: int = 0
) -> Path:
    """Records whole episodes and returns the path.

    Args:
      policy: how to act.
      environment: a Gymnasium id that renders `rgb_array`; `jax:Name` is drawn by the Gymnasium environment of that
        name.
      path: .gif, or .mp4 with the extra `video`.
      episodes: how many, one after another.
      fps: frames a second; None is the environment's own, or 30.
      seed: of the environment.

    Raises:
      ConfigError: another ending than .gif or .mp4.
      EnvironmentFault: the environment cannot be drawn.
      ImportError: an MP4 without the extra `video`.
    """
    path = Path(path)
    if path.suffix not in (".gif", ".mp4"):
        raise ConfigError("a recording is a GIF or an MP4", expected=".gif or .mp4", got=path.suffix or "no ending")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    frames: list[np.ndarray] = []
    for _ in _episodes(policy, environment, episodes, seed, "rgb_array", frames.append):
        pass
    rate = fps or 30
    if path.suffix == ".gif":
        from PIL import Image

        pictures = [Image.fromarray(frame) for frame in frames]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=round(1000 / rate), loop=0)
    else:
        try:
            import imageio.v2 as imageio
        except ImportError as error:
            raise missing_extra("imageio", "video", "An MP4") from error
        with warnings.catch_warnings():
            # JAX warns of forks in threaded programs; this child becomes ffmpeg at once and runs no Python.
            warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called", category=RuntimeWarning)
            imageio.mimwrite(path, frames, fps=rate, macro_block_size=1)  # type: ignore[arg-type]  # a list of frames is accepted
    return path


def play(
    policy: Policy, environment: str, episodes: int = 3, seed: int = 0, render_mode: str = "human"
) -> Iterator[float]:
    """Plays whole episodes and yields the return of each.

    Args:
      policy, environment, seed: as for `record`.
      render_mode: "human" opens a window, "ansi" prints, "none" shows nothing.
    """
    mode = None if render_mode == "none" else render_mode
    yield from _episodes(policy, environment, episodes, seed, mode, print if mode == "ansi" else lambda _: None)


def _episodes(
    policy: Policy, environment: str, episodes: int, seed: int, mode: str | None, show: Any
) -> Iterator[float]:
    world = environments.GymnasiumEnvironment.make(environment.removeprefix("jax:"), num_envs=1, render_mode=mode)
    try:
        act, time_step, total = policy.bind(seed), world.reset(seed=seed), 0.0
        _show(world, mode, show, environment)
        while episodes:
            time_step = world.step(act(time_step.observation))
            total += float(time_step.reward[0])
            _show(world, mode, show, environment)
            if time_step.step_type[0] == StepType.LAST:
                yield total
                episodes, total = episodes - 1, 0.0
                act.reset()
                time_step = world.step(
                    world.action_spec.minimum[None] if hasattr(world.action_spec, "minimum") else None
                )
    finally:
        world.close()


def _show(world: Any, mode: str | None, show: Any, environment: str) -> None:
    if mode in (None, "human"):
        return
    picture = world.render()
    picture = picture[0] if isinstance(picture, list | tuple) else picture
    if picture is None:
        raise EnvironmentFault(
            f"{environment} cannot be drawn",
            expected=f"render() in mode {mode}",
            got="None",
            fix="jaxdaw evaluate RUN",
        )
    show(np.asarray(picture) if mode == "rgb_array" else picture)
