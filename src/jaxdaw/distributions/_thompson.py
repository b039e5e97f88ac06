"""Thompson sampling in closed form: the probability of each action, from beliefs about the values."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Real, Shaped

from jaxdaw.distributions._finite import Categorical, _first

_Mask = Shaped[Array | np.ndarray, "..."] | None
_BREAKS = np.linspace(-6.0, 6.0, 9)
"""Where the integral of one value's density is cut into pieces, in deviations from its mean; 1e-9 lies outside."""
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(3)
_LEAST = 1e-37
"""Probabilities below it count as that: their log is finite, in half the time of an exact log."""
_NARROWEST = 1e-5
"""Deviations below it, in units of the row's spread, count as that: what is narrower falls between float32 numbers."""
_AT_ONCE = 2**23
"""Numbers that are in memory at the same time."""


def votes(
    values: Real[Array | np.ndarray, "M *rows A"], mask: _Mask = None, minimum: int = 0, dtype: Any = np.int32
) -> Categorical:
    """Returns the distribution of the greedy action of a member that is drawn uniformly: each member has one vote.

    That is how Thompson sampling from M samples of a belief, or from an ensemble of M members, chooses. Its
    probabilities, `k / M`, are those of the choice, and no estimates. A row in which the largest allowed value of a
    member is not finite is not valid.

    Args:
      values: the values that each member gives to the actions; ties go to the lowest index.
      mask: `[..., A]`, what is allowed; None allows everything.
      minimum, dtype: of the actions, as for `Categorical`.

    Source: Thompson 1933; Lu & Van Roy 2017 for ensembles.

    >>> votes(jnp.array([[1.0, 2.0, 0.0], [5.0, 2.0, 0.0], [0.0, 3.0, 0.0], [0.0, 1.0, 9.0]])).probs
    Array([0.25, 0.5 , 0.25], dtype=float32)
    """
    values = jnp.asarray(values)
    allowed = _allowed(mask, values.shape[1:])
    values = jnp.where(allowed, values, -jnp.inf)
    best = jnp.max(values, axis=-1, keepdims=True)
    voted = _first(values == best)[..., None] == jnp.arange(values.shape[-1])
    is_valid = jnp.all(jnp.isfinite(best), axis=0)
    return Categorical(jnp.where(is_valid, jnp.log(jnp.mean(voted, axis=0)), jnp.nan), mask, minimum, dtype)


def largest_of_normals(
    mean: Real[Array | np.ndarray, ...],
    deviation: Real[Array | np.ndarray, ...],
    mask: _Mask = None,
    minimum: int = 0,
    dtype: Any = np.int32,
) -> Categorical:
    """Returns the distribution of the largest of independent normal values: Thompson sampling without samples.

    The probability of action a is the integral of `f_a * prod(F_b for b != a)` over densities f and cumulative
    distributions F. It is computed piece by piece between the quantiles of all allowed actions, to 2e-4, and
    normalized: the probabilities returned are exactly those with which actions are drawn.

    Args:
      mean, deviation: `[..., A]`, deviations of 0 or more; what is below 1e-5 of the row's largest spread counts as
        that, so that equal values without deviation share.
      mask: `[..., A]`, what is allowed; None allows everything.
      minimum, dtype: of the actions, as for `Categorical`.

    >>> largest_of_normals(jnp.array([0.0, 0.0, 5.0]), jnp.ones(3), mask=jnp.array([True, True, False])).probs
    Array([0.5, 0.5, 0. ], dtype=float32)
    """
    mean, deviation = jnp.broadcast_arrays(jnp.asarray(mean, jnp.float32), jnp.asarray(deviation, jnp.float32))
    rows, count = mean.shape[:-1], mean.shape[-1]
    allowed = _allowed(mask, mean.shape)
    is_finite = jnp.isfinite(mean) & jnp.isfinite(deviation) & (deviation >= 0.0)
    is_valid = jnp.all(is_finite | ~allowed, axis=-1, keepdims=True)
    usable = allowed & is_valid
    flat = [x.reshape(math.prod(rows), count) for x in (jnp.where(usable, mean, 0.0), deviation, usable)]
    at_once = max(1, _AT_ONCE // (count * count * len(_BREAKS) * len(_POINTS)))
    if flat[0].shape[0] <= at_once:
        probs = jax.vmap(_probability_of_largest)(*flat)
    else:
        probs = jax.lax.map(lambda row: _probability_of_largest(*row), flat, batch_size=at_once)
    return Categorical(jnp.where(is_valid, jnp.log(probs.reshape(mean.shape)), jnp.nan), mask, minimum, dtype)


def _allowed(mask: _Mask, shape: tuple[int, ...]) -> Bool[Array, "*rows A"]:
    return jnp.ones(shape, bool) if mask is None else jnp.broadcast_to(jnp.asarray(mask) != 0, shape)


def _probability_of_largest(
    mean: Float32[Array, " A"], deviation: Float32[Array, " A"], usable: Bool[Array, " A"]
) -> Float[Array, " A"]:
    """Returns `[A]` for one row; 0 where not usable. Up to the error of the integral it sums to 1."""
    gap = jnp.where(usable, mean - jnp.max(mean, where=usable, initial=-jnp.inf), 0.0)
    spread = jnp.max(jnp.where(usable, jnp.maximum(deviation, -gap), 0.0))
    spread = jnp.where(spread > _LEAST, spread, 1.0)
    gap, deviation = gap / spread, jnp.maximum(deviation / spread, _NARROWEST)
    # Actions that are not usable break at the best mean, which is a break already.
    breaks = jnp.sort(jnp.ravel(gap[:, None] + jnp.where(usable, deviation, 0.0)[:, None] * _BREAKS.astype(np.float32)))
    low, width = breaks[:-1], jnp.diff(breaks)
    at = low[:, None] + width[:, None] * jnp.asarray(0.5 + 0.5 * _POINTS, jnp.float32)
    weight = width[:, None] * jnp.asarray(0.5 * _WEIGHTS, jnp.float32)
    away = (jnp.ravel(at) - gap[:, None]) / deviation[:, None]
    below = jnp.where(usable[:, None], jnp.log(jnp.maximum(jax.scipy.special.ndtr(away), _LEAST)), 0.0)
    log_density = -0.5 * away**2 - 0.5 * jnp.log(2.0 * jnp.pi)
    integrand = jnp.exp(jnp.sum(below, axis=0) - below + log_density)
    return jnp.where(usable, jnp.sum(integrand * jnp.ravel(weight), axis=-1) / deviation, 0.0)
