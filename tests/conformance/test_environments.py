"""Every environment through one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jaxdaw import testing
from jaxdaw.environments import (
    Acrobot,
    CartPole,
    Catch,
    EnvironmentRecipe,
    GymnasiumEnvironment,
    JaxToHost,
    MountainCar,
    MountainCarContinuous,
    Pendulum,
    Recall,
    check_environment,
)

ENVIRONMENTS: dict[str, Callable[[], Any]] = {
    "jax Acrobot": lambda: Acrobot(max_episode_steps=40),
    "jax CartPole": CartPole,
    "jax CartPole without velocities": lambda: CartPole(velocities=False),
    "jax Catch": Catch,
    "jax MountainCar": lambda: MountainCar(max_episode_steps=40),
    "jax MountainCarContinuous": lambda: MountainCarContinuous(max_episode_steps=40),
    "jax Pendulum": lambda: Pendulum(max_episode_steps=40),
    "jax Recall": Recall,
    "jax CartPole on the host": lambda: JaxToHost(CartPole(), 3),
    "Gymnasium CartPole-v1": lambda: GymnasiumEnvironment.make("CartPole-v1", num_envs=2),
    "Gymnasium Acrobot-v1": lambda: GymnasiumEnvironment.make("Acrobot-v1", max_episode_steps=50),
    "Gymnasium Pendulum-v1": lambda: GymnasiumEnvironment.make("Pendulum-v1", max_episode_steps=50),
    "recipe with arguments": EnvironmentRecipe("FrozenLake-v1", {"is_slippery": False}, max_episode_steps=50).make,
    "Gymnasium Taxi-v4": lambda: GymnasiumEnvironment.make("Taxi-v4"),
    **{type(probe).__name__: type(probe) for probe in testing.PROBES},
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environment_conforms(name: str):
    check_environment(ENVIRONMENTS[name], steps=200)
