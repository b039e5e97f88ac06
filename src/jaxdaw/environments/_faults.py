"""Messages for environments that break their contract: what is wrong, where, the likely cause and the fix."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from jaxdaw import specs
from jaxdaw.errors import EnvironmentFault, SpecError, explain

LARGEST_REWARD = float(np.finfo(np.float32).max)


class Place(NamedTuple):
    """A point in the stream of one row.

    Attributes:
      row: counted from 0.
      rows: B.
      episode: counted from 1.
      step: actions taken in that episode, the present one included; 0 in `reset`.
      total: the same, over all episodes since `reset`.
    """

    row: int = 0
    rows: int = 1
    episode: int = 1
    step: int = 0
    total: int = 0

    def __str__(self) -> str:
        when = f"at {f'step {self.step}' if self.step else 'the reset'} of episode {self.episode}"
        if self.total > self.step:
            when += f" (env step {self.total})"
        return when if self.rows == 1 else f"in env {self.row} of {self.rows} {when}"


class Fault(NamedTuple):
    """One thing that is wrong, without the place where it was seen.

    Attributes:
      what: one line.
      expected, got, cause, fix: as in `errors.explain`.
      more: lines that already have their form.
    """

    what: str
    expected: str | None = None
    got: str | None = None
    cause: str | None = None
    fix: str | None = None
    more: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: Exception) -> Fault:
        """Returns the fault that an error in the house form tells of."""
        what, *more = str(error).split("\n")
        return cls(what, more=tuple(more))

    def message(self, where: Any) -> str:
        """Returns the whole text."""
        text = explain(f"{self.what}, {where}", expected=self.expected, got=self.got, cause=self.cause, fix=self.fix)
        return "\n".join((text, *self.more))

    def error(self, where: Any) -> EnvironmentFault:
        """Returns the exception to raise."""
        return EnvironmentFault(self.message(where))


def brief(value: Any) -> str:
    """Returns a value in a few words: never a whole array.

    >>> brief(np.zeros((84, 84), np.uint8))
    'uint8 (84, 84)'
    >>> brief(np.array([0.5, 2.0]))
    'float64 (2,) [0.5, 2.0]'
    """
    if isinstance(value, np.ndarray):
        few = f" {value.tolist()}" if value.size <= 3 else ""
        return f"{value.dtype} {value.shape}{few}"
    if isinstance(value, tuple):
        return f"a tuple ({', '.join(type(part).__name__ for part in value)})"
    text = str(value) if isinstance(value, (bool, int, float, np.generic)) else f"{type(value).__name__} {value!r}"
    return text if len(text) <= 60 else text[:57] + "..."


def escaped(error: BaseException, source: str, action: Any = None) -> Fault:
    """Returns the fault of an exception that ended a step; to be raised `from` the original."""
    return raised(error, source, action)._replace(
        cause="a defect of the environment; its own traceback stands above this one.",
        fix="jaxdaw.environments.check_environment(env) lists everything that is wrong at once",
    )


def raised(error: BaseException, source: str, action: Any = None) -> Fault:
    """Returns the fault of an exception that left `source`."""
    given = "" if action is None else f" with action={brief(action)}"
    return Fault(
        f"{source} raised {type(error).__name__} in {_culprit(error)}{given}",
        got=(str(error).strip().split("\n")[0] or type(error).__name__)[:160],
    )


def reset_outcome(outcome: Any, source: str) -> Fault | None:
    """Returns what is wrong with the form of `reset`'s answer."""
    if isinstance(outcome, tuple) and len(outcome) == 2 and isinstance(outcome[1], dict):
        return None
    return Fault(
        f"{source} does not return two values",
        expected="(observation, info), info a dict",
        got=brief(outcome),
        cause="the bare observation, as in Gym before 0.26.",
        fix="return observation, {}",
    )


def step_outcome(outcome: Any, source: str) -> Fault | None:
    """Returns what is wrong with the form of `step`'s answer."""
    if isinstance(outcome, tuple) and len(outcome) == 5:
        return None
    four = isinstance(outcome, tuple) and len(outcome) == 4
    return Fault(
        f"{source} does not return five values",
        expected="(observation, reward, terminated, truncated, info)",
        got=f"{len(outcome)} values" if isinstance(outcome, tuple) else brief(outcome),
        cause="(observation, reward, done, info), as in Gym before 0.26." if four else None,
        fix="return observation, reward, terminated, truncated, {}"
        + ("; truncated says that a time limit cut the episode" if four else ""),
    )


def reward(value: Any, source: str) -> Fault | None:
    """Returns what is wrong with a reward: it must be one finite number."""
    what, expected = f"the reward of {source} is not one finite number", "a finite float32 scalar"
    if value is None:
        return Fault(what, expected, "None", "a reward that was never computed.", "reward = 0.0")
    if not isinstance(value, (bool, int, float, np.number, np.bool_)) and not (
        isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "fiub"
    ):
        fix = "reward = float(reward)"
        if isinstance(value, np.ndarray):
            fix = "reward = reward.item()" if value.size == 1 else "reward = float(reward.sum())"
        return Fault(what, expected, brief(value), "an array or an object where one number belongs.", fix)
    if not -LARGEST_REWARD <= float(value) <= LARGEST_REWARD:
        cause = "a division by zero, a logarithm of 0, an overflow."
        return Fault(what, expected, brief(value), cause, "reward = max(reward, -1e6)")
    return None


def flag(name: str, value: Any, source: str) -> Fault | None:
    """Returns what is wrong with `terminated` or `truncated`."""
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, (int, np.integer)) and value in (0, 1)):
        return None
    return Fault(
        f"{name} of {source} is not a bool",
        expected="bool",
        got=brief(value),
        cause="the five values in another order, or a comparison of whole arrays.",
        fix=f"{name} = bool({name})",
    )


def observation(value: Any, spec: Any, source: str) -> list[Fault]:
    """Returns what is wrong with one row's observation: structure, shapes, dtypes, and integers out of range.

    Args:
      value: as the environment gave it.
      spec: a nest of specs.
      source: who gave it.
    """
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], dict) and not isinstance(spec, tuple):
        return [
            Fault(
                f"observation from {source} is a pair",
                expected="the observation alone",
                got=brief(value),
                cause="a wrapper that hands on what reset() returned: (observation, info).",
                fix="observation, info = self.env.reset(seed=seed, options=options)",
            )
        ]
    wrong = structure(value, spec, source)
    if wrong is not None:
        return [wrong]
    pairs = zip(specs.flatten_with_path(spec), specs.flatten(value), strict=True)
    return [fault for (path, leaf), array in pairs if (fault := _leaf(path, leaf, array, source)) is not None]


def structure(value: Any, spec: Any, source: str) -> Fault | None:
    """Returns what is wrong with the nest of an observation; its leaves are not checked."""
    what = f"observation from {source}"
    if value is None:
        return Fault(f"{what} is None", cause="a forgotten return.", fix="return self._observation()")
    try:
        specs.assert_same_structure(spec, value, what=what)
    except SpecError as error:
        fault = Fault.of(error)
        return fault if fault.what.startswith(what) else fault._replace(what=f"{what}: {fault.what}")
    return None


def not_finite(path: str, value: np.ndarray, source: str) -> Fault:
    """Returns the fault of NaN or infinity in an observation leaf of one row."""
    bad = value[~np.isfinite(value)]
    return Fault(
        f"observation from {source} is not finite{at(path)}",
        expected="finite numbers",
        got=f"{bad.size} of {value.size} values, first {bad.flat[0]}",
        cause="a division by zero, or a simulation that diverged.",
        fix="terminated = not np.isfinite(observation).all(); observation = np.nan_to_num(observation)",
    )


def out_of_range(path: str, spec: specs.BoundedTensorSpec, value: np.ndarray, source: str) -> Fault:
    """Returns the fault of an observation leaf of one row outside its bounds."""
    outside = ~((value >= spec.minimum) & (value <= spec.maximum))
    first = tuple(int(i) for i in np.argwhere(outside)[0]) if value.ndim else ()
    low, high = (np.broadcast_to(bound, value.shape)[first] for bound in (spec.minimum, spec.maximum))
    return Fault(
        f"observation from {source} is out of range{at(path)}",
        expected=f"{low} to {high}",
        got=f"{int(outside.sum())} of {value.size} values, first {value[first]} at {list(first)}",
        cause="a space whose bounds were guessed.",
        fix="env.observation_space = Box(-np.inf, np.inf, shape, dtype), or bounds that hold",
    )


def castable(given: np.dtype, wanted: np.dtype) -> bool:
    """Whether one dtype is taken for the other: integers for integers or floats, floats of any width for floats."""
    return given == wanted or given.kind in {"f": "fiub", "i": "iub", "u": "iub"}.get(wanted.kind, "")


def _leaf(path: str, spec: Any, value: Any, source: str) -> Fault | None:
    array = np.asarray(value)
    if array.shape == spec.shape and castable(array.dtype, spec.dtype):
        counted = isinstance(spec, specs.BoundedTensorSpec) and spec.dtype.kind in "iu"
        if counted and not ((array >= spec.minimum) & (array <= spec.maximum)).all():
            return out_of_range(path, spec, array, source)
        return None
    cause, fix = _mismatch(array, spec)
    return Fault(
        f"observation from {source} does not match observation_spec{at(path)}",
        expected=f"{spec.dtype} {spec.shape}",
        got=brief(array) if array.dtype != object else brief(value),
        cause=cause,
        fix=fix,
    )


def _mismatch(array: np.ndarray, spec: specs.TensorSpec) -> tuple[str, str]:
    if array.dtype == object:
        return "no array of numbers.", f"np.asarray(observation, np.{spec.dtype})"
    if array.shape == (1, *spec.shape):
        return "an extra leading dimension: np.array([self._state]).", f"np.asarray(self._state, np.{spec.dtype})"
    if array.ndim == len(spec.shape) == 3 and array.transpose(1, 2, 0).shape == spec.shape:
        return "channels first.", "observation.transpose(1, 2, 0)"
    if array.ndim == len(spec.shape) == 3 and array.transpose(2, 0, 1).shape == spec.shape:
        return "channels last.", "observation.transpose(2, 0, 1)"
    if array.shape != spec.shape:
        return "a shape that changed, or a space that was declared for another.", f"observation.reshape({spec.shape})"
    return "a dtype that cannot be converted without loss.", f"observation.astype(np.{spec.dtype})"


def _culprit(error: BaseException) -> str:
    """Returns `MyEnv.step (my_env.py:41)`: the innermost frame that is neither a library's nor ours."""
    installed = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))
    ours = str(Path(__file__).parent)
    frames: list[TracebackType] = []
    step = error.__traceback__
    while step is not None:
        if not step.tb_frame.f_code.co_filename.startswith(ours):
            frames.append(step)
        step = step.tb_next
    if not frames:
        return "the call itself"
    theirs = [frame for frame in frames if not frame.tb_frame.f_code.co_filename.startswith(installed)]
    last = (theirs or frames)[-1]
    code = last.tb_frame.f_code
    return f"{code.co_qualname} ({Path(code.co_filename).name}:{last.tb_lineno})"


def at(path: str) -> str:
    """Returns how a message names a leaf; nothing for a bare one."""
    return f" at {path}" if path else ""
