"""RowBatch: plain Gymnasium environments stepped one after another, as the rows of a GymnasiumEnvironment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np

from jaxdaw import specs
from jaxdaw.environments import _faults
from jaxdaw.environments._actions import ActionReader
from jaxdaw.environments._faults import LARGEST_REWARD, Fault, Place
from jaxdaw.environments._observations import ObservationReader
from jaxdaw.trajectories import StepType, TimeStep, restart


class RowBatch:
    """B environments on one stream of actions, in NEXT_STEP order.

    Behaves as `gymnasium.vector.SyncVectorEnv` does (the tests hold the streams together), checks more, and takes
    less time. After a fault every row starts a new episode at the next call.

    Args:
      envs: B distinct environments.
      actions: reads for B rows.
      observations: reads for B rows.
    """

    def __init__(self, envs: Sequence[gymnasium.Env], actions: ActionReader, observations: ObservationReader):
        self.envs = list(envs)
        self._actions, self._observations = actions, observations
        self._name = type(self.envs[0].unwrapped).__name__
        self._step_source, self._reset_source = f"{self._name}.step()", f"{self._name}.reset()"
        rows = len(self.envs)
        self._mid = np.full(rows, StepType.MID, np.int32)
        self._zero, self._one = np.zeros(rows, np.float32), np.ones(rows, np.float32)
        self._forget()

    def reset(self, seed: int | None) -> TimeStep:
        """Starts every row anew; row i gets `seed + i`, as in Gymnasium."""
        self._forget()
        arrays = self._observations.empty()
        for row in range(len(self.envs)):
            self._restart(row, arrays, None if seed is None else seed + row)
        observation = self._pack(arrays)
        self._ended = [False] * len(self.envs)
        return restart(observation, batch_size=len(self.envs))

    def step(self, action: Any) -> TimeStep:
        """Steps every row that has not ended, and starts those that have."""
        ended = self._ended
        choices = _rows(self._actions.read(action, ended))
        self._ended = [True] * len(self.envs)  # if this step raises, every row starts a new episode at the next call
        last = [False] * len(self.envs)
        arrays = self._observations.empty()
        step_type, reward, discount = self._mid.copy(), self._zero.copy(), self._one.copy()
        for row, starts in enumerate(ended):
            if starts:
                self._restart(row, arrays, None)
                step_type[row] = StepType.FIRST
                continue
            reward[row], terminated, truncated = self._advance(row, choices[row], arrays)
            if terminated or truncated:
                step_type[row] = StepType.LAST
                discount[row] = 0.0 if terminated else 1.0
                last[row] = True
        observation = self._pack(arrays)
        self._ended = last
        return TimeStep(step_type, reward, discount, observation)

    def _advance(self, row: int, action: Any, arrays: list[np.ndarray]) -> tuple[Any, Any, Any]:
        self._lengths[row] += 1
        try:
            outcome = self.envs[row].step(action)
        except Exception as error:  # the environment's code may raise anything
            raise _faults.escaped(error, self._step_source, action).error(self._place(row)) from error
        if type(outcome) is not tuple or len(outcome) != 5:
            self._refuse(row, _faults.step_outcome(outcome, self._step_source))
        observation, reward, terminated, truncated, _ = outcome
        if not (isinstance(reward, float) and -LARGEST_REWARD <= reward <= LARGEST_REWARD):
            self._refuse(row, _faults.reward(reward, self._step_source))
        if not (type(terminated) is bool and type(truncated) is bool):
            self._refuse(row, _faults.flag("terminated", terminated, self._step_source))
            self._refuse(row, _faults.flag("truncated", truncated, self._step_source))
        fault = self._observations.write(arrays, row, observation, self._step_source)
        if fault is not None:
            self._refuse(row, fault)
        return reward, terminated, truncated

    def _restart(self, row: int, arrays: list[np.ndarray], seed: int | None) -> None:
        self._before[row] += self._lengths[row]
        self._lengths[row] = 0
        self._episodes[row] += 1
        try:
            outcome = self.envs[row].reset() if seed is None else self.envs[row].reset(seed=seed)
        except Exception as error:  # the environment's code may raise anything
            raise _faults.escaped(error, self._reset_source).error(self._place(row)) from error
        self._refuse(row, _faults.reset_outcome(outcome, self._reset_source))
        self._refuse(row, self._observations.write(arrays, row, outcome[0], self._reset_source))

    def _pack(self, arrays: list[np.ndarray]) -> Any:
        wrong = self._observations.judge(arrays, self._name)
        if wrong is not None:
            self._refuse(*wrong)
        return self._observations.pack(arrays)

    def _refuse(self, row: int, fault: Fault | None) -> None:
        if fault is not None:
            raise fault.error(self._place(row))

    def _place(self, row: int) -> Place:
        length = self._lengths[row]
        return Place(row, len(self.envs), self._episodes[row], length, self._before[row] + length)

    def _forget(self) -> None:
        rows = len(self.envs)
        self._ended = [True] * rows
        self._lengths, self._before, self._episodes = [0] * rows, [0] * rows, [0] * rows

    def render(self) -> list[Any]:
        """Returns the rendering of each row."""
        return [env.render() for env in self.envs]

    def closers(self) -> list[Callable[[], Any]]:
        """Returns the functions that close the environments."""
        return [env.close for env in self.envs]


def _rows(choice: Any) -> list[Any]:
    if isinstance(choice, np.ndarray):
        return _split(choice)
    leaves = map(_split, specs.flatten(choice))
    return [specs.pack_like(choice, parts) for parts in zip(*leaves, strict=True)]


def _split(leaf: np.ndarray) -> list[Any]:
    """Returns the rows of one leaf; a scalar float as an array `()`, as `gymnasium.spaces.Box` asks for."""
    return [leaf[row, ...] for row in range(len(leaf))] if leaf.ndim == 1 and leaf.dtype.kind == "f" else list(leaf)
