"""TimeStep, PolicyStep, Trajectory, Transition and LossInfo."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdaw import specs
from jaxdaw.errors import SpecTypeError
from jaxdaw.specs import StepType

Array = jax.Array | np.ndarray


class TimeStep(NamedTuple):
    """What an environment says: where the agent is, and what its last action brought.

    Attributes:
      step_type: `[B]` int32, FIRST 0, MID 1 or LAST 2.
      reward: `[B]` float32, of the action that led here; 0 at FIRST.
      discount: `[B]` float32 in `[0, 1]`; 0 where the episode terminated, 1 at FIRST and where it was only cut.
      observation: a nest of `[B, ...]`.
    """

    step_type: Any
    reward: Any
    discount: Any
    observation: Any

    def is_first(self) -> Array:
        """Whether an episode starts here, `[B]`."""
        return self.step_type == StepType.FIRST

    def is_mid(self) -> Array:
        """Whether an episode goes on here, `[B]`."""
        return self.step_type == StepType.MID

    def is_last(self) -> Array:
        """Whether an episode ended here, terminated or cut, `[B]`."""
        return self.step_type == StepType.LAST


class PolicyStep(NamedTuple):
    """What a policy answers.

    Attributes:
      action: a nest of `[B, ...]`, or of distributions over it.
      state: what the next call needs; `()` for a policy without memory.
      info: what the policy reports about its choice; `()` if nothing.
    """

    action: Any = ()
    state: Any = ()
    info: Any = ()


class Trajectory(NamedTuple):
    """One frame of a recorded stream: a step, what was done there, and what that brought.

    `step_type`, `observation`, `action` and `policy_info` belong to the step; `next_step_type`, `reward` and `discount`
    to the step that followed. Leaves are `[B, T, ...]` in everything that trains.
    """

    step_type: Any
    observation: Any
    action: Any
    policy_info: Any
    next_step_type: Any
    reward: Any
    discount: Any

    def is_first(self) -> Array:
        """Whether the frame opens an episode."""
        return self.step_type == StepType.FIRST

    def is_mid(self) -> Array:
        """Whether the frame lies strictly inside an episode."""
        return (self.step_type == StepType.MID) & (self.next_step_type == StepType.MID)

    def is_last(self) -> Array:
        """Whether the frame's action ended the episode."""
        return self.next_step_type == StepType.LAST

    def is_boundary(self) -> Array:
        """Whether the frame joins two episodes; its action, reward and discount mean nothing."""
        return self.step_type == StepType.LAST


class Transition(NamedTuple):
    """A step, the action taken there, and the step that followed (one or n steps later)."""

    time_step: Any
    action_step: Any
    next_time_step: Any


class LossInfo(NamedTuple):
    """A loss as it was before the update, and what the agent adds to it.

    Attributes:
      loss: `[]` float32, what was minimised.
      extra: the agent's own record of per-example values.
    """

    loss: Any
    extra: Any = ()


def time_step_spec(observation_spec: Any = None, reward_spec: specs.TensorSpec | None = None) -> TimeStep:
    """Returns the spec of the TimeSteps of an environment with these observations.

    Args:
      observation_spec: a nest of specs; None gives a TimeStep of empty nests.
      reward_spec: None is a float32 scalar.

    Raises:
      SpecTypeError: a leaf is not a spec.
    """
    if observation_spec is None:
        return TimeStep(step_type=(), reward=(), discount=(), observation=())
    reward_spec = specs.TensorSpec((), np.float32, "reward") if reward_spec is None else reward_spec
    for path, leaf in specs.flatten_with_path({"observation": observation_spec, "reward": reward_spec}):
        if not isinstance(leaf, specs.TensorSpec):
            raise SpecTypeError(
                f"time_step_spec was given something else than a spec at {path}",
                expected="TensorSpec or BoundedTensorSpec",
                got=type(leaf).__name__,
                fix="specs.from_gymnasium(env.observation_space)",
            )
    return TimeStep(
        step_type=specs.TensorSpec((), np.int32, "step_type"),
        reward=reward_spec,
        discount=specs.BoundedTensorSpec((), np.float32, 0.0, 1.0, "discount"),
        observation=observation_spec,
    )


def trajectory_spec(time_step: TimeStep, action: Any, policy_info: Any = ()) -> Trajectory:
    """Returns the spec of the frames that a policy with these specs records."""
    return Trajectory(
        step_type=time_step.step_type,
        observation=time_step.observation,
        action=action,
        policy_info=policy_info,
        next_step_type=time_step.step_type,
        reward=time_step.reward,
        discount=time_step.discount,
    )
