"""VectorBatch: converts the autoreset mode of a Gymnasium vector environment to NEXT_STEP, or refuses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from jaxdaw.environments import _faults
from jaxdaw.environments._actions import ActionReader
from jaxdaw.environments._faults import LARGEST_REWARD, Fault
from jaxdaw.environments._observations import ObservationReader
from jaxdaw.errors import EnvironmentFault
from jaxdaw.trajectories import StepType, TimeStep, restart

_LARGEST = np.asarray(LARGEST_REWARD)  # an array: NumPy compares arrays faster than an array and a float


def autoreset_mode(env: VectorEnv) -> AutoresetMode:
    """Returns the mode that can be served exactly: NEXT_STEP, or SAME_STEP of a single row.

    Under SAME_STEP a row's reset observation comes with the step that ends its episode. Our stream then needs one call
    in which that row waits (LAST, then FIRST) while the others step. A single row can wait: the environment is not
    called. One row of several cannot, short of playing an action that nobody chose.

    Raises:
      EnvironmentFault: the mode is missing, DISABLED, or SAME_STEP with several rows.
    """
    name = type(env.unwrapped).__name__
    given = env.metadata.get("autoreset_mode")
    mode = given if isinstance(given, AutoresetMode) else None
    if mode is AutoresetMode.NEXT_STEP or (mode is AutoresetMode.SAME_STEP and env.num_envs == 1):
        return mode
    cause = {
        None: "a vector environment that does not say what happens after an episode.",
        AutoresetMode.DISABLED: "rows that have ended would be stepped on.",
        AutoresetMode.SAME_STEP: "a row that has ended must wait for one step, and these only step together.",
    }[mode]
    fix = "env.metadata = {**env.metadata, 'autoreset_mode': AutoresetMode.NEXT_STEP}, if that is what it does"
    if mode is not None:
        fix = "gymnasium.make_vec(env_id, num_envs, vector_kwargs={'autoreset_mode': AutoresetMode.NEXT_STEP})"
    raise EnvironmentFault(
        f"{name} cannot be served: its autoreset mode is {'unknown' if mode is None else mode.name}",
        expected="metadata['autoreset_mode'] AutoresetMode.NEXT_STEP",
        got=str(given),
        cause=cause,
        fix=fix,
    )


class VectorBatch:
    """A vector environment that resets its rows itself.

    Args:
      env: in a mode that `autoreset_mode` lets pass.
      actions: reads for its rows.
      observations: reads for its rows.
    """

    def __init__(self, env: VectorEnv, actions: ActionReader, observations: ObservationReader):
        self._env, self._actions, self._observations = env, actions, observations
        self._same_step = autoreset_mode(env) is AutoresetMode.SAME_STEP
        self._name = type(env.unwrapped).__name__
        self._rows = env.num_envs
        self._mid = np.full(self._rows, StepType.MID, np.int32)
        self._one = np.ones(self._rows, np.float32)
        self._forget()

    def reset(self, seed: int | None) -> TimeStep:
        """Starts every row anew; the vector environment derives each row's seed."""
        self._forget()
        source = f"{self._name}.reset()"
        try:
            outcome = self._env.reset(seed=seed)
        except Exception as error:  # the environment's code may raise anything
            raise _faults.escaped(error, source).error(self._place()) from error
        self._refuse(_faults.reset_outcome(outcome, source))
        observation = self._read(outcome[0], source)
        self._started, self._ended = True, np.zeros(self._rows, bool)
        return restart(observation, batch_size=self._rows)

    def step(self, action: Any) -> TimeStep:
        """Steps all rows; those at LAST are reset by the vector environment itself."""
        choice = self._actions.read(action, self._ended)
        if not self._started:
            return self.reset(None)
        if self._held is not None:
            observation, self._held, self._ended = self._held, None, np.zeros(1, bool)
            return restart(observation, batch_size=1)
        self._started, self._steps = False, self._steps + 1
        observation, reward, terminated, truncated, info = self._call(choice)
        if self._same_step and (terminated[0] or truncated[0]):
            self._held, observation = observation, self._final_observation(info)
        time_step = self._time_step(observation, reward, terminated, truncated)
        self._started = True
        return time_step

    def _call(self, choice: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, Any]:
        source = f"{self._name}.step()"
        try:
            outcome = self._env.step(choice)
        except Exception as error:  # the environment's code may raise anything
            raise _faults.escaped(error, source, choice).error(self._place()) from error
        self._refuse(_faults.step_outcome(outcome, source))
        observation, reward, terminated, truncated, info = outcome
        observation = self._read(observation, source)
        terminated, truncated = self._flag("terminated", terminated), self._flag("truncated", truncated)
        return observation, self._reward(reward), terminated, truncated, info

    def _time_step(
        self, observation: Any, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray
    ) -> TimeStep:
        last, first = terminated | truncated, self._ended
        step_type, discount = self._mid.copy(), self._one.copy()
        if not np.count_nonzero(last | first):
            return TimeStep(step_type, reward, discount, observation)
        if (last & first).any():
            raise Fault(
                f"{self._name} ends an episode in the step that begins it",
                expected="terminated and truncated False after the reset",
                got=f"True in row {int(np.argmax(last & first))}",
                cause="another autoreset mode than metadata['autoreset_mode'] says.",
                fix="env.metadata['autoreset_mode'] = the mode that it has",
            ).error(self._place())
        step_type[last] = StepType.LAST
        step_type[first] = StepType.FIRST
        discount[terminated] = 0.0
        reward[first] = 0.0
        self._ended = last
        return TimeStep(step_type, reward, discount, observation)

    def _final_observation(self, info: Any) -> Any:
        final = info.get("final_obs") if isinstance(info, dict) else None
        if final is None:
            raise Fault(
                f"{self._name} gives no final observation",
                expected="info['final_obs'], as SAME_STEP asks for",
                got=_faults.brief(None if not isinstance(info, dict) else sorted(info)),
                fix="autoreset_mode=AutoresetMode.NEXT_STEP",
            ).error(self._place())
        arrays = self._observations.empty()
        self._refuse(self._observations.write(arrays, 0, final[0], f"{self._name}.step()"))
        return self._judged(arrays)

    def _read(self, observation: Any, source: str) -> Any:
        arrays = self._observations.copy(observation, source)
        if isinstance(arrays, Fault):
            raise arrays.error(self._place())
        return self._judged(arrays)

    def _judged(self, arrays: list[np.ndarray]) -> Any:
        wrong = self._observations.judge(arrays, self._name)
        if wrong is not None:
            raise wrong[1].error(f"in env {wrong[0]} of {self._rows} at env step {self._steps}")
        return self._observations.pack(arrays)

    def _reward(self, value: Any) -> np.ndarray:
        array = np.asarray(value)
        if array.shape != (self._rows,) or array.dtype.kind not in "fiub":
            raise self._wrong_vector("reward", "float32", value)
        fits = np.abs(array) <= _LARGEST
        if np.count_nonzero(fits) != fits.size:
            for row, fault in enumerate(_faults.reward(one, f"{self._name}.step()") for one in array):
                self._refuse(fault, f"in env {row} of {self._rows} at env step {self._steps}")
        return array.astype(np.float32)

    def _flag(self, name: str, value: Any) -> np.ndarray:
        array = np.asarray(value)
        if array.shape != (self._rows,) or array.dtype != bool:
            raise self._wrong_vector(name, "bool", value)
        return array

    def _wrong_vector(self, name: str, dtype: str, value: Any) -> EnvironmentFault:
        return Fault(
            f"{name} of {self._name}.step() is not one number for each row",
            expected=f"{dtype} ({self._rows},)",
            got=_faults.brief(value),
        ).error(self._place())

    def _refuse(self, fault: Fault | None, where: str | None = None) -> None:
        if fault is not None:
            raise fault.error(where or self._place())

    def _place(self) -> str:
        return f"at env step {self._steps} of {self._rows} rows"

    def _forget(self) -> None:
        self._started, self._held, self._steps = False, None, 0
        self._ended = np.ones(self._rows, bool)

    def render(self) -> list[Any]:
        """Returns the rendering of each row."""
        frames = self._env.render()
        return [] if frames is None else list(frames)

    def closers(self) -> list[Callable[[], Any]]:
        """Returns the functions that close the environment."""
        return [self._env.close]
