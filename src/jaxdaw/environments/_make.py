"""make: environments by id, from Gymnasium's registry or, with the prefix `jax:`, from our pure ones."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium

from jaxdaw.environments._acrobot import Acrobot
from jaxdaw.environments._base import Environment, JaxEnvironment
from jaxdaw.environments._cartpole import CartPole
from jaxdaw.environments._catch import Catch
from jaxdaw.environments._gymnasium import GymnasiumEnvironment
from jaxdaw.environments._ids import build, unknown_id
from jaxdaw.environments._mountain_car import MountainCar, MountainCarContinuous
from jaxdaw.environments._pendulum import Pendulum
from jaxdaw.environments._recall import Recall
from jaxdaw.errors import ConfigError

PURE_PREFIX = "jax:"
JAX_ENVIRONMENTS: dict[str, type[JaxEnvironment]] = {
    "jax:Acrobot-v1": Acrobot,
    "jax:CartPole-v1": CartPole,
    "jax:Catch-v0": Catch,
    "jax:MountainCar-v0": MountainCar,
    "jax:MountainCarContinuous-v0": MountainCarContinuous,
    "jax:Pendulum-v1": Pendulum,
    "jax:Recall-v0": Recall,
}
"""The pure environments by their ids."""


def make(
    env_id: str,
    num_envs: int = 1,
    seed: int | None = None,
    *,
    max_episode_steps: int | None = None,
    render_mode: str | None = None,
    **kwargs: Any,
) -> Environment | JaxEnvironment:
    """Returns an environment of either kind.

    Args:
      env_id: `jax:Name-v0` for a pure environment; else what `GymnasiumEnvironment.make` takes.
      num_envs: rows of a host environment. A pure one is a single row: loops vmap it as they need.
      seed: of a host environment's first reset. A pure one is given its key by `init`.
      max_episode_steps: after which an episode is cut; None is the environment's own limit.
      render_mode: of a host environment.
      **kwargs: of the environment's constructor.

    Raises:
      ConfigError: an unknown id or argument.
      ImportError: a package that the environment needs is absent.

    >>> make("jax:Catch-v0", rows=6)
    Catch(rows=6, columns=5, max_episode_steps=None)
    """
    if not is_pure(env_id):
        return GymnasiumEnvironment.make(
            env_id, num_envs, seed=seed, max_episode_steps=max_episode_steps, render_mode=render_mode, **kwargs
        )
    if render_mode is not None:
        raise ConfigError(
            f"'{env_id}' cannot be drawn",
            expected="render_mode=None",
            got=repr(render_mode),
            fix=f"the Gymnasium environment of the same name: '{env_id.removeprefix(PURE_PREFIX)}'",
        )
    if max_episode_steps is not None:
        kwargs["max_episode_steps"] = max_episode_steps
    return jax_environment(env_id, **kwargs)


def make_unchecked(env_id: str) -> gymnasium.Env | JaxEnvironment:
    """Returns the bare environment of an id, without the adapter that raises at its first fault: for `find_faults`."""
    return jax_environment(env_id) if is_pure(env_id) else build(env_id)


def jax_environment(name: str, **options: Any) -> JaxEnvironment:
    """Returns a pure environment by its id, with or without `jax:`.

    Args:
      name: one of `JAX_ENVIRONMENTS`.
      **options: fields of its dataclass.

    Raises:
      ConfigError: an unknown id or option.

    >>> jax_environment("jax:CartPole-v1")
    CartPole(max_episode_steps=500, velocities=True)
    """
    env_id = name if name.startswith(PURE_PREFIX) else PURE_PREFIX + name
    if env_id not in JAX_ENVIRONMENTS:
        raise unknown_id(env_id, JAX_ENVIRONMENTS)
    kind = JAX_ENVIRONMENTS[env_id]
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]  # all of ours are dataclasses
    for option in options:
        if option not in known:
            raise ConfigError(f"'{env_id}' has no option '{option}'", expected=", ".join(known), got=option)
    return kind(**options)


def is_pure(environment: Any) -> bool:
    """Returns whether an id names, or an object is, a pure environment."""
    if isinstance(environment, str):
        return environment.startswith(PURE_PREFIX)
    return isinstance(environment, JaxEnvironment)
