"""Makes the single-row environment that is recorded, in a render mode, and reads its pictures."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxdaw.drivers import time_limit_warning
from jaxdaw.environments import (
    Environment,
    EnvironmentLike,
    EnvironmentRecipe,
    GymnasiumEnvironment,
    JaxEnvironment,
    JaxToHost,
    as_environment,
)
from jaxdaw.errors import ConfigError, EnvironmentFault, JaxdawWarning

DEFAULT_FPS = 30.0
"""Frames a second of an environment that declares no `render_fps`."""


class SingleEnvironment(NamedTuple):
    """An environment of one row on the host.

    Attributes:
      environment: of one row.
      name: for messages and files.
      recipe: what it is made from; None if that cannot be told.
      fps: frames a second, as the environment declares them, or 30.
      known_keys: what the environment's own `get_keys_to_action` says, or None.
    """

    environment: Environment
    name: str
    recipe: EnvironmentRecipe | None
    fps: float
    known_keys: Any


@contextlib.contextmanager
def open_single(
    what: EnvironmentLike,
    render_mode: str | None = None,
    max_episode_steps: int | None = None,
    *,
    purpose: str = "",
    fix: str = "jaxdaw evaluate RUN, which needs no picture",
) -> Iterator[SingleEnvironment]:
    """Makes an environment of one row that draws in a mode, and closes it afterwards if it was made here.

    Args:
      what: as for `as_environment`. A pure environment of ours is drawn by the Gymnasium environment of its name.
      render_mode: "rgb_array", "human", "ansi"; None draws nothing.
      max_episode_steps: what the caller cuts episodes at; None warns of an environment without a time limit.
      purpose, fix: end the message and give the fix where nothing can be drawn.

    Raises:
      ConfigError: several rows, or no environment.
      EnvironmentFault: the environment does not draw in this mode.

    Warns:
      JaxdawWarning: the environment declares no time limit, and none is asked for.
    """
    if isinstance(what, str):
        what = EnvironmentRecipe(what)
    if isinstance(what, JaxEnvironment) and render_mode is not None:
        what = as_environment(what).recipe or what
    with contextlib.ExitStack() as stack:
        if isinstance(what, EnvironmentRecipe) and render_mode is not None:
            _refuse_undrawable(what, render_mode, purpose, fix)
            environment, name, recipe = what.make(render_mode=render_mode), what.id, what
            stack.callback(environment.close)  # type: ignore[union-attr]  # with a mode it is a host environment
        else:
            handle = stack.enter_context(as_environment(what))
            environment, name, recipe = handle.environment, handle.name, handle.recipe
        if isinstance(environment, JaxEnvironment):
            environment = JaxToHost(environment)
        if environment.batch_size != 1:
            raise ConfigError(f"one row of {name} is recorded", expected="1 row", got=f"{environment.batch_size} rows")
        if render_mode is not None and environment.render_mode != render_mode:
            raise EnvironmentFault(
                f"{name} was not made to be drawn{purpose}",
                expected=f"render_mode={render_mode!r}",
                got=repr(environment.render_mode),
                fix=f"gymnasium.make(env_id, render_mode={render_mode!r})",
            )
        warning = time_limit_warning(environment, max_episode_steps)
        if warning is not None:
            warnings.warn(warning, JaxdawWarning, stacklevel=4)
        row = environment.first_row if isinstance(environment, GymnasiumEnvironment) else environment
        rate = (getattr(row, "metadata", None) or {}).get("render_fps")
        known = getattr(row.unwrapped, "get_keys_to_action", None)
        yield SingleEnvironment(
            environment, name, recipe, float(rate or DEFAULT_FPS), known() if callable(known) else None
        )


def _refuse_undrawable(recipe: EnvironmentRecipe, render_mode: str, purpose: str, fix: str) -> None:
    """Raises EnvironmentFault if the environment declares that it does not draw in a mode."""
    bare = recipe.make_gymnasium()
    try:
        modes = [str(mode) for mode in bare.metadata.get("render_modes") or []]
    finally:
        bare.close()
    if render_mode in modes or (render_mode == "human" and "rgb_array" in modes):  # Gymnasium shows its pictures
        return
    text_only = "ansi" in modes and "rgb_array" not in modes
    raise EnvironmentFault(
        f"{recipe.id} cannot be drawn{purpose}",
        expected=f"the render mode {render_mode}",
        got=", ".join(modes) or "no render mode at all",
        cause="an environment that draws text only." if text_only else None,
        fix="jaxdaw play RUN --render-mode ansi, which prints it" if text_only and not purpose else fix,
    )


def picture(single: SingleEnvironment) -> np.ndarray:
    """Returns what the environment draws in mode `rgb_array`, uint8 `[height, width, 3]`.

    Raises:
      EnvironmentFault: it draws nothing, or something else.
    """
    drawn = _drawn(single)
    if drawn.ndim != 3 or drawn.shape[2] != 3 or drawn.dtype != np.uint8:
        is_text = drawn.dtype.kind == "U"
        raise EnvironmentFault(
            f"{single.name} draws no pictures",
            expected="uint8 (height, width, 3) from render() in mode rgb_array",
            got="a text" if is_text else f"{drawn.dtype} {drawn.shape}",
            fix="jaxdaw play RUN --render-mode ansi, which prints it" if is_text else "jaxdaw evaluate RUN",
        )
    return drawn


def text(single: SingleEnvironment) -> str:
    """Returns what the environment prints in mode `ansi`."""
    return str(_drawn(single))


def _drawn(single: SingleEnvironment) -> np.ndarray:
    frames = single.environment.render()
    drawn = frames[0] if frames else np.zeros(0)
    if drawn.ndim == 4:  # of modes that return a list of pictures
        drawn = drawn[-1] if len(drawn) else np.zeros(0)
    if drawn.size == 0:
        raise EnvironmentFault(
            f"{single.name} cannot be drawn",
            expected=f"something from render() in mode {single.environment.render_mode}",
            got="nothing",
            fix="jaxdaw evaluate RUN, which needs no picture",
        )
    return drawn
