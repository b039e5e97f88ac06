"""JaxToHost: adapts a pure JaxEnvironment to the host Environment interface."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxdaw.environments._actions import ActionReader
from jaxdaw.environments._base import Environment, JaxEnvironment
from jaxdaw.errors import ConfigError
from jaxdaw.trajectories import StepType, TimeStep


class JaxToHost(Environment):
    """B copies of a pure environment, stepped by one compiled call, seen from the host.

    For loops that must run on the host; where the loop itself can be compiled, a pure environment is 10 to 100 times
    faster inside it.

    Args:
      environment: pure.
      num_envs: B.
      seed: of the first `reset` that is given none; None draws one.

    >>> from jaxdaw import environments
    >>> JaxToHost(environments.Catch(), num_envs=3, seed=0).reset().observation.shape
    (3, 10, 5)
    """

    def __init__(self, environment: JaxEnvironment, num_envs: int = 1, seed: int | None = None):
        if num_envs < 1:
            raise ConfigError("num_envs is outside its range", expected="at least 1", got=str(num_envs))
        self._environment = environment
        self._batch_size = num_envs
        self._actions = ActionReader(environment.action_spec, num_envs)
        entropy = np.random.SeedSequence().generate_state(1)[0] if seed is None else seed
        self._key = jax.random.key(entropy)
        self._init = jax.jit(lambda key: jax.vmap(environment.init)(jax.random.split(key, num_envs)))
        self._step = jax.jit(jax.vmap(environment.step))
        self._state: Any = None
        self._ended = np.ones(num_envs, bool)

    @property
    def batch_size(self) -> int:
        """B, the number of copies."""
        return self._batch_size

    @property
    def observation_spec(self) -> Any:
        """The pure environment's."""
        return self._environment.observation_spec

    @property
    def action_spec(self) -> Any:
        """The pure environment's."""
        return self._environment.action_spec

    @property
    def max_episode_steps(self) -> int | None:
        """Actions after which an episode is cut; None if unknown or unlimited."""
        return getattr(self._environment, "max_episode_steps", None)

    @property
    def unwrapped(self) -> JaxEnvironment:
        """The pure environment."""
        return self._environment

    def reset(self, seed: int | None = None) -> TimeStep:
        """Starts a new episode in every copy; see `Environment.reset`."""
        if seed is not None:
            self._key = jax.random.key(seed)
        self._key, key_starts = jax.random.split(self._key)
        self._state, time_step = self._init(key_starts)
        return self._on_host(time_step)

    def step(self, action: Any) -> TimeStep:
        """Steps every copy; see `Environment.step`."""
        action = self._actions.read(action, self._ended)
        if self._state is None:
            return self.reset()
        self._state, time_step = self._step(self._state, action)
        return self._on_host(time_step)

    def clipped_step(self, action: Any) -> TimeStep:
        """Returns `step`, which clips."""
        return self.step(action)

    def remake(self, num_envs: int) -> JaxToHost:
        """Returns `num_envs` copies of the same pure environment."""
        return JaxToHost(self._environment, num_envs)

    @property
    def can_remake(self) -> bool:
        """True."""
        return True

    def _on_host(self, time_step: TimeStep) -> TimeStep:
        time_step = jax.device_get(time_step)
        self._ended = time_step.step_type == StepType.LAST
        return time_step
