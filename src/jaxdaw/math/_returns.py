"""Returns and advantages of one sequence of rewards; sums stop where an episode ended inside the sequence."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxdaw.math._arrays import AnyArray


def discounted_returns(
    reward_t: Float[AnyArray, " T"],
    discount_t: Float[AnyArray, " T"],
    bootstrap_t: Float[AnyArray, " T"],
    ends_t: Bool[AnyArray, " T"] | None = None,
) -> Float[Array, " T"]:
    """Returns `G_k = r_k + d_k G_{k+1}` for every k, restarting from a bootstrap value where an episode was cut.

    Args:
      reward_t: the reward of each transition.
      discount_t: gamma times the environment's discount.
      bootstrap_t: the value of the step that each transition leads to. Only the entries at the end of the
        sequence and where `ends_t` holds are used.
      ends_t: whether the transition leads to a LAST step; None: no episode ends inside.

    Source: Sutton & Barto 2018, eq. 3.9.

    >>> discounted_returns(jnp.ones(3), jnp.full(3, 0.5), jnp.zeros(3))
    Array([1.75, 1.5 , 1.  ], dtype=float32)
    """
    ends_t = jnp.zeros(reward_t.shape, bool) if ends_t is None else ends_t

    def backwards(following, step):
        reward, discount, bootstrap, ends = step
        value = reward + discount * jnp.where(ends, bootstrap, following)
        return value, value

    steps = (reward_t, discount_t, bootstrap_t, ends_t)
    return jax.lax.scan(backwards, bootstrap_t[-1], steps, reverse=True)[1]


def generalized_advantages(
    reward_t: Float[AnyArray, " T"],
    discount_t: Float[AnyArray, " T"],
    value_tm1: Float[AnyArray, " T"],
    value_t: Float[AnyArray, " T"],
    td_lambda: float | Float[AnyArray, ""],
    ends_t: Bool[AnyArray, " T"] | None = None,
) -> Float[Array, " T"]:
    """Returns the generalized advantage estimate of every transition of one sequence.

    `delta_k = r_k + d_k v_{k+1} - v_k`, `A_k = delta_k + d_k lambda A_{k+1}`; the sum stops where an episode ended.

    Args:
      reward_t: the reward of each transition.
      discount_t: gamma times the environment's discount.
      value_tm1: the value of the step that each transition starts from.
      value_t: the value of the step that it leads to (of the same episode).
      td_lambda: in `[0, 1]`.
      ends_t: whether the transition leads to a LAST step; None: no episode ends inside.

    Source: Schulman et al. 2016, eq. 16.

    >>> generalized_advantages(jnp.ones(2), jnp.full(2, .5), jnp.zeros(2), jnp.zeros(2), 1.0)
    Array([1.5, 1. ], dtype=float32)
    """
    ends_t = jnp.zeros(reward_t.shape, bool) if ends_t is None else ends_t
    delta_t = reward_t + discount_t * value_t - value_tm1
    decay_t = jnp.where(ends_t, 0.0, discount_t * td_lambda)

    def backwards(following, step):
        delta, decay = step
        advantage = delta + decay * following
        return advantage, advantage

    return jax.lax.scan(backwards, jnp.zeros_like(delta_t[-1]), (delta_t, decay_t), reverse=True)[1]
