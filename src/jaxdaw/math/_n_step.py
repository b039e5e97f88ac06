"""The n-step return of one window of rewards; the sum stops where an episode ended inside the window."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

from jaxdaw.math._arrays import AnyArray


class NStepReturn(NamedTuple):
    """What an n-step window is worth, before its bootstrap value.

    Attributes:
      reward: the discounted sum of the rewards that belong to the first frame's episode.
      discount: the factor of the bootstrap value, one gamma short (the learner multiplies it).
      steps: in `1..n`, how many transitions were summed: the bootstrap observation is frame `steps`.
    """

    reward: Float[Array, ""]
    discount: Float[Array, ""]
    steps: Int32[Array, ""]


def n_step_return(
    reward_t: Float[AnyArray, " n"],
    discount_t: Float[AnyArray, " n"],
    ends_t: Bool[AnyArray, " n"],
    gamma: float | Float[AnyArray, ""],
) -> NStepReturn:
    """Sums up to n rewards, and stops where the episode ended, by termination or by truncation.

    With `m` the number of transitions up to and including the first that ends an episode (n if none does):
    `reward = sum_{k<m} gamma^k d_0..d_{k-1} r_k` and `discount = gamma^(m-1) d_0..d_{m-1}`.

    Args:
      reward_t: the reward of each transition.
      discount_t: the environment's discount: 0 where the episode terminated, 1 where it was cut.
      ends_t: whether the transition leads to a LAST step.
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
