"""Drivers for host environments: act, step, and pass each frame to the observers."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxdaw.environments import Environment
from jaxdaw.policies import Policy
from jaxdaw.trajectories import StepType, TimeStep, Trajectory, from_transition

Observer = Callable[[Trajectory], Any]


class _Driver(abc.ABC):
    """Runs a policy in a host environment until a subclass has seen enough.

    Args:
      environment: a host environment of `batch_size` rows.
      policy: whose specs are the environment's.
      observers: each is called with every frame `[B, ...]`, boundary frames included: `replay.add`, a metric, a list's
        `append`.
      seed: in `0..2**32 - 1`; every action takes the next of the seeds that it begins.
    """

    def __init__(self, environment: Environment, policy: Policy, observers: Sequence[Observer] = (), seed: int = 0):
        self._environment = environment
        self._policy = policy
        self._observers = tuple(observers)
        self._seeds = np.random.default_rng(seed)

    def run(self, time_step: TimeStep | None = None, policy_state: Any = ()) -> tuple[TimeStep, Any]:
        """Runs, and returns the time step and policy state: pass both to the next call to continue.

        Args:
          time_step: where to go on; None resets the environment.
          policy_state: the policy's memory; `()` starts from zeros.
        """
        time_step = self._environment.reset() if time_step is None else time_step
        progress = 0
        while progress < self._goal():
            seed = int(self._seeds.integers(2**32, dtype=np.uint32))
            choice = self._policy.action(time_step, policy_state, seed)
            following = self._environment.clipped_step(choice.action)
            frame = from_transition(time_step, choice, following)
            for observe in self._observers:
                observe(frame)
            progress += self._progress(frame)
            time_step, policy_state = following, choice.state
        return time_step, policy_state

    @abc.abstractmethod
    def _goal(self) -> int: ...

    @abc.abstractmethod
    def _progress(self, frame: Trajectory) -> int: ...


class StepDriver(_Driver):
    """Runs until `num_steps` actions have been taken, summed over the rows; boundary frames do not count."""

    def __init__(
        self,
        environment: Environment,
        policy: Policy,
        observers: Sequence[Observer] = (),
        num_steps: int = 1,
        seed: int = 0,
    ):
        super().__init__(environment, policy, observers, seed)
        self._num_steps = num_steps

    def _goal(self) -> int:
        return self._num_steps

    def _progress(self, frame: Trajectory) -> int:
        return int(np.sum(frame.step_type != StepType.LAST))


class EpisodeDriver(_Driver):
    """Runs until `num_episodes` episodes have ended, summed over the rows."""

    def __init__(
        self,
        environment: Environment,
        policy: Policy,
        observers: Sequence[Observer] = (),
        num_episodes: int = 1,
        seed: int = 0,
    ):
        super().__init__(environment, policy, observers, seed)
        self._num_episodes = num_episodes

    def _goal(self) -> int:
        return self._num_episodes

    def _progress(self, frame: Trajectory) -> int:
        return int(np.sum(frame.is_last()))
