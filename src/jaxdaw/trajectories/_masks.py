"""Masks of valid frames: 1.0 for frames that count in a loss, 0.0 for the others."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.specs import StepType


def get_episode_mask(step_type: Any) -> Any:
    """Returns 1.0 for every real frame and 0.0 for boundary frames (step_type LAST), in the shape given."""
    return (step_type != StepType.LAST).astype(np.float32)


def get_contiguous_sub_episodes(discount: Any) -> jax.Array:
    """Returns 1.0 up to and including each row's first discount of 0, then 0.0, `[B, T]`."""
    going = jnp.cumprod(jnp.asarray(discount) != 0.0, axis=1).astype(jnp.float32)
    return jnp.concatenate([jnp.ones_like(going[:, :1]), going[:, :-1]], axis=1)
