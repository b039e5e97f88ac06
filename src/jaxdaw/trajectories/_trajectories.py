"""Constructors of trajectories: frames from steps, episodes from arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.errors import SpecError
from jaxdaw.specs import StepType
from jaxdaw.trajectories._namespace import namespace_of
from jaxdaw.trajectories._records import PolicyStep, TimeStep, Trajectory


def from_transition(time_step: TimeStep, action_step: PolicyStep, next_time_step: TimeStep) -> Trajectory:
    """Returns the frame that records one step of a policy in an environment. The policy's state is not kept."""
    return Trajectory(
        step_type=time_step.step_type,
        observation=time_step.observation,
        action=action_step.action,
        policy_info=action_step.info,
        next_step_type=next_time_step.step_type,
        reward=next_time_step.reward,
        discount=next_time_step.discount,
    )


def _frame(
    step_type: StepType, next_step_type: StepType, observation, action, policy_info, reward, discount
) -> Trajectory:
    xp = namespace_of(observation, action, discount)
    outer = np.shape(discount)
    return Trajectory(
        step_type=xp.full(outer, step_type, np.int32),
        observation=observation,
        action=action,
        policy_info=policy_info,
        next_step_type=xp.full(outer, next_step_type, np.int32),
        reward=reward,
        discount=discount,
    )


def first(observation: Any, action: Any, policy_info: Any, reward: Any, discount: Any) -> Trajectory:
    """Returns a frame from FIRST to MID; the outer shape is the discount's."""
    return _frame(StepType.FIRST, StepType.MID, observation, action, policy_info, reward, discount)


def mid(observation: Any, action: Any, policy_info: Any, reward: Any, discount: Any) -> Trajectory:
    """Returns a frame from MID to MID; the outer shape is the discount's."""
    return _frame(StepType.MID, StepType.MID, observation, action, policy_info, reward, discount)


def last(observation: Any, action: Any, policy_info: Any, reward: Any, discount: Any) -> Trajectory:
    """Returns a frame from MID to LAST; the outer shape is the discount's."""
    return _frame(StepType.MID, StepType.LAST, observation, action, policy_info, reward, discount)


def single_step(observation: Any, action: Any, policy_info: Any, reward: Any, discount: Any) -> Trajectory:
    """Returns a frame from FIRST to LAST, an episode of one action; the outer shape is the discount's."""
    return _frame(StepType.FIRST, StepType.LAST, observation, action, policy_info, reward, discount)


def boundary(observation: Any, action: Any, policy_info: Any, reward: Any, discount: Any) -> Trajectory:
    """Returns a frame from LAST to FIRST, between two episodes; the outer shape is the discount's."""
    return _frame(StepType.LAST, StepType.FIRST, observation, action, policy_info, reward, discount)


def from_episode(
    observation: Any,
    action: Any,
    policy_info: Any,
    reward: Any,
    discount: Any = None,
    *,
    terminated: bool | None = None,
) -> Trajectory:
    """Returns one whole episode as frames `[T, ...]`.

    How the episode ended must be said, by `terminated` or by `discount`. (TF-Agents assumes discount 1 throughout, so
    that a learner bootstraps past the end of an episode that terminated.)

    Args:
      observation: a nest of `[T, ...]`.
      action: a nest of `[T, ...]`.
      policy_info: a nest of `[T, ...]` or `()`.
      reward: `[T]`; `reward[t]` is what `action[t]` brought.
      discount: `[T]` in `[0, 1]`, or None.
      terminated: True: the world ended (last discount 0); False: the recording was cut (all discounts 1).

    Raises:
      SpecError: neither or both of `discount` and `terminated` are given, or the lengths differ.
    """
    if (discount is None) == (terminated is None):
        raise SpecError(
            "from_episode must be told how the episode ended, once",
            expected="terminated=True, terminated=False or discount=[T]",
            got="neither" if discount is None else "both",
            cause="without it a learner cannot know whether to bootstrap beyond the last frame.",
            fix="from_episode(observation, action, (), reward, terminated=True)",
        )
    leaves = {"observation": observation, "action": action, "policy_info": policy_info, "reward": reward}
    if discount is not None:
        leaves["discount"] = discount
    length = np.shape(reward)[0]
    for path, leaf in specs.flatten_with_path(leaves):
        if np.shape(leaf)[:1] != (length,):
            raise SpecError(
                f"the leaves of an episode have different lengths at {path}",
                expected=f"({length}, ...) as reward",
                got=str(np.shape(leaf)),
                cause="observations often hold one row more: the one after the last action.",
                fix="observation[:-1]",
            )
    xp = namespace_of(observation, action, reward)
    step_type = np.full(length, StepType.MID, np.int32)
    step_type[0] = StepType.FIRST
    next_step_type = np.full(length, StepType.MID, np.int32)
    next_step_type[-1] = StepType.LAST
    if discount is None:
        discount = np.ones(length, np.float32)
        discount[-1] = 0.0 if terminated else 1.0
    return Trajectory(
        step_type=xp.asarray(step_type),
        observation=observation,
        action=action,
        policy_info=policy_info,
        next_step_type=xp.asarray(next_step_type),
        reward=reward,
        discount=xp.asarray(discount, np.float32),
    )
