"""SquareCB: inverse gap weighting, where an action is the rarer the further its value lies below the best."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdaw.distributions._base import register
from jaxdaw.distributions._finite import _Finite


@register
@dataclasses.dataclass(frozen=True, eq=False)
class SquareCB(_Finite):
    """Inverse gap weighting: `1 / (K + gamma * gap)` for each of the K allowed actions, the rest for the greedy one.

    The gap is how far a value lies below the largest allowed one. Of several largest values the lowest index is the
    greedy one; the others have a gap of 0, and so `1 / K`, whatever gamma is. With gamma 0 all is uniform; as gamma
    grows, what lies below the best is left to `1 / (gamma * gap)`, and to 0 at infinity.

    Attributes:
      gamma: `[]` or `[...]`, one over the units of the values; below 0 it counts as 0 (schedules undershoot by
        rounding); it may be traced.

    Source: Abe & Long 1999; Foster & Rakhlin 2020, algorithm 1, with mu = K.

    >>> SquareCB(jnp.array([1.0, 3.0, 9.0]), jnp.array([True, True, False]), gamma=1.0).probs  # 1 / (2 + 1 * 2)
    Array([0.25, 0.75, 0.  ], dtype=float32)
    """

    gamma: Any = 0.0

    def _log_probs(self, values: Float[Array, "*rows A"]) -> Float[Array, "*rows A"]:
        is_greedy = self._greedy()[..., None] == jnp.arange(values.shape[-1])
        others = self.allowed & ~is_greedy
        gap = jnp.max(values, axis=-1, keepdims=True) - values
        gamma = jnp.maximum(self.gamma, 0.0)[..., None]
        weighs = others & (gap > 0.0) & (gamma > 0.0)  # 0 * inf would be NaN
        weighted = jnp.where(weighs, jnp.where(weighs, gamma, 1.0) * jnp.where(weighs, gap, 1.0), 0.0)
        count = jnp.sum(self.allowed, axis=-1, keepdims=True)
        share = jnp.where(others, 1.0 / (jnp.maximum(count, 1) + weighted), 0.0)
        probs = jnp.where(is_greedy, 1.0 - jnp.sum(share, axis=-1, keepdims=True), share)
        return jnp.where(probs > 0.0, jnp.log(jnp.where(probs > 0.0, probs, 1.0)), -jnp.inf)
