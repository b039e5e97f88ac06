"""The environments of a run: one to learn in, and another of the same making to be evaluated in."""

from __future__ import annotations

from typing import Any

from jaxdaw import environments
from jaxdaw.environments import GymnasiumEnvironment, JaxEnvironment
from jaxdaw.errors import ConfigError
from jaxdaw.training._config import DqnConfig


def make_environment(environment: Any, config: DqnConfig, num_envs: int, seed: int, fresh: bool = False) -> Any:
    """Returns the environment of a run, from its id or as it was given; `fresh` asks for another of the same making."""
    limit = config.max_episode_steps or None
    if isinstance(environment, str):
        return environments.make(environment, num_envs=num_envs, max_episode_steps=limit)
    if isinstance(environment, JaxEnvironment) or not fresh:
        return environment
    if isinstance(environment, GymnasiumEnvironment):
        return environment.remake(num_envs)
    raise ConfigError(
        "an environment given as an object cannot be evaluated beside its training",
        expected="an environment id, or eval_every=0",
        got=type(environment).__name__,
        fix="train('dqn', 'my_package:MyEnv-v0')",
    )
