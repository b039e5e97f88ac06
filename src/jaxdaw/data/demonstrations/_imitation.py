"""Rollouts of the library `imitation`: an NPZ with the steps of all trajectories in sequence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxdaw.data.demonstrations._arrays import assemble
from jaxdaw.data.demonstrations._demonstrations import Demonstrations
from jaxdaw.errors import SpecError, StorageError
from jaxdaw.storage import read_npz

KEYS = frozenset({"obs", "acts", "indices", "terminal"})
_ARRAYS = ("obs", "acts", "rews", "terminal", "indices")  # infos are Python objects and are not read


def read_rollouts(
    path: Path,
    observation_spec: Any = None,
    action_spec: Any = None,
    *,
    max_episode_steps: int | None = None,
    limit_bytes: int,
) -> Demonstrations:
    """Returns the demonstrations in rollouts that `imitation.data.types.save` wrote in its NPZ form.

    `obs` holds T + 1 frames of each trajectory, `indices` where all but the first begin, `terminal` whether each came
    to its end: by termination or by a time limit, which the file does not tell apart.

    Args:
      path: of the file.
      observation_spec, action_spec: as in `Demonstrations`.
      max_episode_steps: the time limit of the environment: finished trajectories of this length were truncated, all
        others terminated. None: the ends stay unknown.
      limit_bytes: the most that the arrays may take.

    Raises:
      StorageError: damaged, or arrays that do not fit together.
    """
    arrays = read_npz(path, _ARRAYS, limit_bytes)
    missing = KEYS - arrays.keys()
    if missing:
        raise StorageError(f"{path} holds no rollouts", expected=", ".join(sorted(KEYS)), got="no " + min(missing))
    if arrays["indices"].ndim != 1 or arrays["indices"].dtype.kind not in "iu":
        got = f"{arrays['indices'].dtype} {arrays['indices'].shape}"
        raise StorageError(f"{path}: indices are no places of steps", expected="int64 [episodes - 1]", got=got)
    steps, finished = len(np.atleast_1d(arrays["acts"])), arrays["terminal"]
    ends = np.append(arrays["indices"], np.int64(steps))
    if finished.shape != ends.shape or finished.dtype != bool:
        raise StorageError(
            f"{path}: terminal and indices do not fit together",
            expected=f"bool {ends.shape}, one more than indices",
            got=f"{finished.dtype} {finished.shape}",
        )
    try:
        terminated, truncated = end_flags(ends, finished, max_episode_steps, steps)
        return assemble(
            arrays["obs"],
            arrays["acts"],
            arrays.get("rews"),
            terminated,
            truncated,
            episode_ends=ends,
            observation_spec=observation_spec,
            action_spec=action_spec,
            metadata={"source": "imitation"},
        )
    except SpecError as error:
        raise type(error)(f"{path}: {error}") from error


def end_flags(
    ends: np.ndarray, finished: np.ndarray, max_episode_steps: int | None, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns `terminated` and `truncated`, `[steps]`, of finished episodes, as their lengths tell.

    Args:
      ends: `[episodes]`, the number of steps up to the end of each.
      finished: `[episodes]` bool, whether each came to its end.
      max_episode_steps: finished ones of at least this length were truncated, shorter ones terminated.
      steps: in all.
    """
    terminated, truncated = np.zeros(steps, bool), np.zeros(steps, bool)
    rises = ends.dtype.kind in "iu" and np.all(np.diff(ends, prepend=0) > 0) and ends[-1] == steps
    if max_episode_steps is not None and rises:  # else `assemble` raises
        limited = np.diff(ends, prepend=0) >= max_episode_steps
        terminated[ends[finished & ~limited] - 1] = True
        truncated[ends[finished & limited] - 1] = True
    return terminated, truncated
