"""Returns and advantages of batches of sequences, in the argument order of TF-Agents."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxdaw import math


def discounted_return(
    rewards: Any,
    discounts: Any,
    final_value: Any = None,
    time_major: bool = False,
    provide_all_returns: bool = True,
    ends: Any = None,
    values: Any = None,
) -> jax.Array:
    """Returns `R_t = r_t + d_t R_{t+1}` for `[B, T]` sequences.

    Args:
      rewards: `[B, T]`.
      discounts: `[B, T]`, gamma times the environment's discount.
      final_value: `[B]`, the value after the last frame; None is 0.
      time_major: inputs and output are `[T, B]`. (TF-Agents' default; here everything public is batch-major.)
      provide_all_returns: False gives only the first return, `[B]`.
      ends: `[B, T]` bool, the frame's `next_step_type` is LAST; None: no episode ends inside.
      values: `[B, T]`, the value of the step each frame leads to; used where an episode was cut. None is 0.
    """
    axis = 1 if time_major else 0
    rewards, discounts = jnp.asarray(rewards), jnp.asarray(discounts)
    bootstrap = jnp.zeros_like(rewards) if values is None else jnp.asarray(values)
    if final_value is not None:
        bootstrap = bootstrap.at[-1].set(final_value) if time_major else bootstrap.at[:, -1].set(final_value)
    ends = jnp.zeros(rewards.shape, bool) if ends is None else jnp.asarray(ends)
    returns = jax.vmap(math.discounted_returns, in_axes=axis, out_axes=axis)(rewards, discounts, bootstrap, ends)
    if provide_all_returns:
        return returns
    return returns[0] if time_major else returns[:, 0]


def generalized_advantage_estimation(
    values: Any,
    final_value: Any,
    discounts: Any,
    rewards: Any,
    td_lambda: float = 1.0,
    time_major: bool = False,
    ends: Any = None,
) -> jax.Array:
    """Returns generalized advantages of `[B, T]` sequences.

    Args:
      values: `[B, T]`, the value of each frame's observation.
      final_value: `[B]`, the value of the observation after the last frame.
      discounts: `[B, T]`, gamma times the environment's discount.
      rewards: `[B, T]`.
      td_lambda: in `[0, 1]`.
      time_major: inputs and output are `[T, B]`. (TF-Agents' default; here everything public is batch-major.)
      ends: `[B, T]` bool, the frame's `next_step_type` is LAST; None: no episode ends inside.
    """
    axis = 1 if time_major else 0
    values, rewards, discounts = jnp.asarray(values), jnp.asarray(rewards), jnp.asarray(discounts)
    after = jnp.expand_dims(jnp.asarray(final_value), 0 if time_major else 1)
    value_t = jnp.concatenate([values[1:] if time_major else values[:, 1:], after], axis=0 if time_major else 1)
    ends = jnp.zeros(rewards.shape, bool) if ends is None else jnp.asarray(ends)
    estimate = jax.vmap(math.generalized_advantages, in_axes=(axis, axis, axis, axis, None, axis), out_axes=axis)
    return estimate(rewards, discounts, values, value_t, td_lambda, ends)
