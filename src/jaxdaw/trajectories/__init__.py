"""The five records exchanged by environments, policies and agents, and conversions between them.

`docs/semantics.md` holds the tables: what each field means at FIRST, MID and LAST, and what n-step windows do at the
end of an episode.
"""

from jaxdaw.specs import StepType
from jaxdaw.trajectories._masks import get_contiguous_sub_episodes, get_episode_mask
from jaxdaw.trajectories._records import (
    LossInfo,
    PolicyStep,
    TimeStep,
    Trajectory,
    Transition,
    time_step_spec,
    trajectory_spec,
)
from jaxdaw.trajectories._returns import discounted_return, generalized_advantage_estimation
from jaxdaw.trajectories._time_steps import restart, termination, transition, truncation
from jaxdaw.trajectories._trajectories import boundary, first, from_episode, from_transition, last, mid, single_step
from jaxdaw.trajectories._transitions import (
    experience_to_transitions,
    to_n_step_transition,
    to_transition,
)
from jaxdaw.trajectories._validate import validate_trajectory

__all__ = [
    "LossInfo",
    "PolicyStep",
    "StepType",
    "TimeStep",
    "Trajectory",
    "Transition",
    "boundary",
    "discounted_return",
    "experience_to_transitions",
    "first",
    "from_episode",
    "from_transition",
    "generalized_advantage_estimation",
    "get_contiguous_sub_episodes",
    "get_episode_mask",
    "last",
    "mid",
    "restart",
    "single_step",
    "termination",
    "time_step_spec",
    "to_n_step_transition",
    "to_transition",
    "trajectory_spec",
    "transition",
    "truncation",
    "validate_trajectory",
]
