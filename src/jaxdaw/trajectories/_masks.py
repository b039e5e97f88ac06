"""Masks of valid frames: 1.0 for frames that count in a loss, 0.0 for the others."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.specs import StepType
from jaxdaw.trajectories._records import Trajectory


def get_episode_mask(step_type: Any) -> Any:
    """Returns 1.0 for every real frame and 0.0 for boundary frames (step_type LAST), in the shape given."""
    return (step_type != StepType.LAST).astype(np.float32)


def episode_ends(trajectory: Trajectory) -> jax.Array:
    """Returns which frames lead to the end of their episode, bool `[B, T]`; boundary frames do not.

    `next_step_type` says so. Of a recording that was interrupted only the boundary frame that follows does.
    """
    step_type, next_step_type = jnp.asarray(trajectory.step_type), jnp.asarray(trajectory.next_step_type)
    is_cut = jnp.concatenate([step_type[:, 1:] == StepType.LAST, jnp.zeros_like(step_type[:, :1], bool)], axis=1)
    return ((next_step_type == StepType.LAST) | is_cut) & (step_type != StepType.LAST)


def get_contiguous_sub_episodes(discount: Any) -> jax.Array:
    """Returns 1.0 up to and including each row's first discount of 0, then 0.0, `[B, T]`."""
    going = jnp.cumprod(jnp.asarray(discount) != 0.0, axis=1).astype(jnp.float32)
    return jnp.concatenate([jnp.ones_like(going[:, :1]), going[:, :-1]], axis=1)
