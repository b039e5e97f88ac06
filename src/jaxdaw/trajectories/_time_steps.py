"""Constructors of time steps: restart, transition, termination, truncation."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.errors import SpecError
from jaxdaw.specs import StepType
from jaxdaw.trajectories._namespace import namespace_of
from jaxdaw.trajectories._records import TimeStep


def restart(observation: Any, batch_size: int | None = None, reward_spec: specs.TensorSpec | None = None) -> TimeStep:
    """Returns the FIRST step of an episode: reward 0, discount 1.

    Args:
      observation: a nest of `[...]`, or `[B, ...]` with `batch_size` B.
      batch_size: None for a single step.
      reward_spec: shape and dtype of the reward; None is a float32 scalar.
    """
    xp = namespace_of(observation)
    outer = () if batch_size is None else (batch_size,)
    shape, dtype = ((), np.float32) if reward_spec is None else (reward_spec.shape, reward_spec.dtype)
    return TimeStep(
        step_type=xp.full(outer, StepType.FIRST, np.int32),
        reward=xp.zeros(outer + shape, dtype),
        discount=xp.ones(outer, np.float32),
        observation=observation,
    )


def transition(
    observation: Any, reward: Any, discount: Any = 1.0, outer_dims: tuple[int, ...] | None = None
) -> TimeStep:
    """Returns a MID step.

    Args:
      observation: a nest of `[...]` or `[B, ...]`.
      reward: `[]` or `[B]`; cast to float32.
      discount: broadcast to the reward's outer shape. (TF-Agents leaves a scalar a scalar when inputs are NumPy.)
      outer_dims: the outer shape; None takes the reward's first axis.

    Raises:
      SpecError: the reward is None, NaN or text.
    """
    return _step(StepType.MID, observation, reward, discount, outer_dims)


def termination(observation: Any, reward: Any, outer_dims: tuple[int, ...] | None = None) -> TimeStep:
    """Returns a LAST step with discount 0: the episode is over, nothing comes after it.

    Args and errors are those of `transition`.
    """
    return _step(StepType.LAST, observation, reward, 0.0, outer_dims)


def truncation(
    observation: Any, reward: Any, discount: Any = 1.0, outer_dims: tuple[int, ...] | None = None
) -> TimeStep:
    """Returns a LAST step with discount 1: the recording was cut, the world would have gone on.

    Args and errors are those of `transition`.
    """
    return _step(StepType.LAST, observation, reward, discount, outer_dims)


def _step(
    step_type: StepType, observation: Any, reward: Any, discount: Any, outer_dims: tuple[int, ...] | None
) -> TimeStep:
    xp = namespace_of(observation, () if reward is None else reward)
    reward = _as_reward(reward, xp)
    outer = reward.shape[:1] if outer_dims is None else tuple(outer_dims)
    return TimeStep(
        step_type=xp.full(outer, step_type, np.int32),
        reward=reward,
        discount=xp.broadcast_to(xp.asarray(discount, np.float32), outer),
        observation=observation,
    )


def _as_reward(reward: Any, xp: ModuleType) -> Any:
    if isinstance(reward, jax.Array):
        return reward.astype(jnp.float32)
    try:
        array = np.asarray(reward, np.float32)
    except (TypeError, ValueError):
        array = None
    if array is None or reward is None or np.isnan(array).any():
        raise SpecError(
            "the reward of a step is not a number",
            expected="float32 without NaN",
            got="NaN" if array is not None and reward is not None else repr(reward)[:40],
            cause="a step function that forgot to return its reward, or a division by zero inside it.",
            fix="return transition(observation, reward=0.0)",
        )
    return xp.asarray(array)
