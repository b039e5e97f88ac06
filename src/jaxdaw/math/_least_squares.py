"""Recursive least squares with square roots of precision matrices; no matrix is inverted."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdaw.math._arrays import AnyArray


def recursive_least_squares(
    root: Float[AnyArray, "D D"],
    response: Float[AnyArray, " D"],
    features: Float[AnyArray, "N D"],
    targets: Float[AnyArray, " N"],
    weights: Float[AnyArray, " N"],
    forgetting: float = 1.0,
    tikhonov_weight: float = 1.0,
) -> tuple[Float[Array, "D D"], Float[Array, " D"]]:
    """Returns the root and response of one linear model after a batch of examples.

    With features x, targets y and weights w, the model is `P = tikhonov_weight * I + sum(w x x^T)`, `b = sum(w y x)`,
    and what was there before counts `forgetting` times at every call; the prior is not forgotten. Kept are an upper
    triangular R with `R^T R = P`, and `z = R^-T b`. They come from one orthogonal triangularization, which sees the
    features themselves instead of their squares: in float32 it goes as far as normal equations in float64.

    Args:
      root: R; at first `sqrt(tikhonov_weight) * I`.
      response: z; at first 0.
      features: x of each example.
      targets: y.
      weights: w, 0 or more; a row of weight 0 changes nothing, whatever it holds.
      forgetting: in `[0, 1]`; 1 forgets nothing.
      tikhonov_weight: above 0.

    Source: Bierman 1977, chapter V (the square root information filter).

    >>> root, response = recursive_least_squares(  # three examples of 2 x, and a prior that counts as a fourth of 0
    ...     jnp.eye(1), jnp.zeros(1), jnp.ones((3, 1)), jnp.full(3, 2.0), jnp.ones(3)
    ... )
    >>> jnp.abs(root), response / root[0]
    (Array([[2.]], dtype=float32), Array([1.5], dtype=float32))
    """
    size = root.shape[0]
    scale = jnp.where(weights > 0.0, jnp.sqrt(weights), 0.0)[:, None]
    rows = jnp.concatenate([features, targets[:, None]], axis=1)
    blocks = [jnp.sqrt(forgetting) * jnp.concatenate([root, response[:, None]], axis=1)]
    if forgetting < 1.0:
        blocks.append(jnp.sqrt((1.0 - forgetting) * tikhonov_weight) * jnp.eye(size, size + 1, dtype=root.dtype))
    blocks.append(jnp.where(scale > 0.0, scale * rows, 0.0))
    triangle = jnp.linalg.qr(jnp.concatenate(blocks), mode="r")
    # Without examples nothing is rounded again: the model of an arm that is never taken does not change.
    changes = jnp.any(weights > 0.0) | (forgetting < 1.0)
    return (
        jnp.where(changes, triangle[:size, :size], root),
        jnp.where(changes, triangle[:size, size], response),
    )


def linear_beliefs(
    root: Float[AnyArray, "D D"], response: Float[AnyArray, " D"], features: Float[AnyArray, "N D"]
) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
    """Returns the mean and the deviation that a linear model believes of its targets.

    The mean is `x^T P^-1 b`, and the deviation `sqrt(x^T P^-1 x)`, which is the posterior's for noise of variance 1.

    Args:
      root, response: as of `recursive_least_squares`.
      features: x of each example.

    >>> linear_beliefs(2.0 * jnp.eye(2), jnp.array([6.0, 0.0]), jnp.array([[1.0, 0.0], [3.0, 4.0]]))
    (Array([3., 9.], dtype=float32), Array([0.5, 2.5], dtype=float32))
    """
    whitened = jax.scipy.linalg.solve_triangular(root, features.T, trans=1)
    return jnp.matmul(response, whitened), jnp.sqrt(jnp.sum(jnp.square(whitened), axis=0))
