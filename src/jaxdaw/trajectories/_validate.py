"""Host-side checks of a recorded stream, for data from elsewhere; too slow for every training step."""

from __future__ import annotations

import numpy as np

from jaxdaw.errors import SpecError
from jaxdaw.specs import StepType
from jaxdaw.trajectories._records import Trajectory


def validate_trajectory(trajectory: Trajectory) -> None:
    """Checks that `[B, T]` frames obey the rules of `docs/semantics.md`.

    Raises:
      SpecError: a step type outside 0..2, a frame that does not follow the one before it, a reward or discount that is
        not finite, a discount outside `[0, 1]`, a reward that leads into FIRST, or time on the first axis.
    """
    step_type = np.asarray(trajectory.step_type)
    next_step_type = np.asarray(trajectory.next_step_type)
    reward = np.asarray(trajectory.reward)
    discount = np.asarray(trajectory.discount)
    if step_type.ndim != 2:
        raise SpecError("validate_trajectory needs [B, T] frames", expected="[B, T]", got=str(step_type.shape))
    for name, value in (("step_type", step_type), ("next_step_type", next_step_type)):
        _refuse(~np.isin(value, (0, 1, 2)), f"['{name}']", "FIRST 0, MID 1 or LAST 2", value)
    _refuse(~np.isfinite(reward), "['reward']", "a finite reward", reward)
    _refuse(~((discount >= 0) & (discount <= 1)), "['discount']", "a discount in [0, 1]", discount)
    follows = step_type[:, 1:] == next_step_type[:, :-1]
    if not follows.all() and (step_type[1:] == next_step_type[:-1]).all() and step_type.shape[0] > 1:
        raise SpecError(
            "the frames run along the first axis",
            expected="[B, T, ...]",
            got="[T, B, ...]",
            cause="a time-major recording.",
            fix="jax.tree.map(lambda x: x.swapaxes(0, 1), trajectory)",
        )
    _refuse(~follows, "['step_type'][:, 1:]", "the next_step_type of the frame before", step_type[:, 1:])
    after_last = (step_type == StepType.LAST) & (next_step_type != StepType.FIRST)
    _refuse(after_last, "['next_step_type']", "FIRST after LAST", next_step_type)
    into_first = next_step_type == StepType.FIRST
    _refuse(into_first & (step_type != StepType.LAST), "['next_step_type']", "FIRST only after LAST", next_step_type)
    _refuse(into_first & (reward != 0), "['reward']", "0 where a new episode starts", reward)


def _refuse(faulty: np.ndarray, path: str, expected: str, value: np.ndarray) -> None:
    if faulty.any():
        where = np.argwhere(faulty)
        shown = ", ".join(f"{np.asarray(value)[tuple(i)]} at {[int(k) for k in i]}" for i in where[:3])
        raise SpecError(
            f"a trajectory breaks its rules at {path}, in {len(where)} places", expected=expected, got=shown
        )
