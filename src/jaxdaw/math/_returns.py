"""Returns and advantages of one sequence of rewards; episodes that ended inside it are cut where they ended."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp


class NStepReturn(NamedTuple):
    """What an n-step window is worth, before its bootstrap value.

    Attributes:
      reward: `[]`, the discounted sum of the rewards that belong to the first frame's episode.
      discount: `[]`, the factor of the bootstrap value, one gamma short (the learner multiplies it).
      steps: `[]` int32 in `1..n`, how many transitions were summed: the bootstrap observation is frame `steps`.
    """

    reward: jax.Array
    discount: jax.Array
    steps: jax.Array


def n_step_return(reward_t: jax.Array, discount_t: jax.Array, ends_t: jax.Array, gamma: float) -> NStepReturn:
    """Sums up to n rewards, and stops where the episode ended, by termination or by truncation.

    With `m` the number of transitions up to and including the first that ends an episode (n if none does):
    `reward = sum_{k<m} gamma^k d_0..d_{k-1} r_k` and `discount = gamma^(m-1) d_0..d_{m-1}`.

    Args:
      reward_t: `[n]`, the reward of each transition.
      discount_t: `[n]`, the environment's discount: 0 where the episode terminated, 1 where it was cut.
      ends_t: `[n]` bool, the transition leads to a LAST step.
      gamma: in `[0, 1]`.

    Differs from TF-Agents, whose sum runs across a truncation into the next episode.

    Source: Sutton & Barto 2018, eq. 7.1; Pardo et al. 2018 for the bootstrap at a time limit.

    >>> n_step_return(jnp.array([1., 2., 3.]), jnp.ones(3), jnp.array([False, True, False]), 0.5)  # 1 + 2/2, cut
    NStepReturn(reward=Array(2., dtype=float32), discount=Array(0.5, dtype=float32), steps=Array(2, dtype=int32))
    """
    alive = jnp.concatenate([jnp.ones_like(ends_t[:1]), jnp.cumprod(~ends_t[:-1]).astype(bool)])  # k < m
    factor = jnp.where(alive, discount_t, 1.0)
    reached = jnp.concatenate([jnp.ones_like(factor[:1]), jnp.cumprod(gamma * factor[:-1])])
    return NStepReturn(
        reward=jnp.sum(jnp.where(alive, reached * reward_t, 0.0)),
        discount=jnp.prod(factor) * jnp.prod(jnp.where(alive[1:], gamma, 1.0)),
        steps=jnp.sum(alive.astype(jnp.int32)),
    )


def discounted_returns(
    reward_t: jax.Array, discount_t: jax.Array, bootstrap_t: jax.Array, ends_t: jax.Array | None = None
) -> jax.Array:
    """Returns `G_k = r_k + d_k G_{k+1}` for every k, restarting from a bootstrap value where an episode was cut.

    Args:
      reward_t: `[T]`.
      discount_t: `[T]`, gamma times the environment's discount.
      bootstrap_t: `[T]`, the value of the step that each transition leads to. Only the entries at the end of the
        sequence and where `ends_t` holds are used.
      ends_t: `[T]` bool, the transition leads to a LAST step; None: no episode ends inside.

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
    reward_t: jax.Array,
    discount_t: jax.Array,
    value_tm1: jax.Array,
    value_t: jax.Array,
    td_lambda: float,
    ends_t: jax.Array | None = None,
) -> jax.Array:
    """Returns the generalized advantage estimate of every transition of one sequence.

    `delta_k = r_k + d_k v_{k+1} - v_k`, `A_k = delta_k + d_k lambda A_{k+1}`; the sum stops where an episode ended.

    Args:
      reward_t: `[T]`.
      discount_t: `[T]`, gamma times the environment's discount.
      value_tm1: `[T]`, the value of the step that each transition starts from.
      value_t: `[T]`, the value of the step that it leads to (of the same episode).
      td_lambda: in `[0, 1]`.
      ends_t: `[T]` bool, the transition leads to a LAST step; None: no episode ends inside.

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
