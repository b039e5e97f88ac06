"""Soft updates of target weights, and gradient clipping by the norm of each variable."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax


def soft_update(target: Any, source: Any, tau: float) -> Any:
    """Returns `(1 - tau) * target + tau * source` for every floating leaf; other leaves are copied.

    Args:
      target: any pytree of arrays.
      source: a pytree of the same structure and shapes.
      tau: in `[0, 1]`; 1 copies.

    >>> soft_update({"w": jnp.ones(2)}, {"w": jnp.full(2, 3.0)}, 0.25)
    {'w': Array([1.5, 1.5], dtype=float32)}
    """

    def blend(old: jax.Array, new: jax.Array) -> jax.Array:
        if tau == 1.0 or not jnp.issubdtype(jnp.result_type(old), jnp.floating):
            return new
        return (1.0 - tau) * old + tau * new

    return jax.tree.map(blend, target, source)


def clip_by_norm_per_variable(max_norm: float) -> optax.GradientTransformation:
    """Returns a transformation that scales each variable's gradient to at most `max_norm`, by its own norm.

    This is what TF-Agents' `gradient_clipping` does, in spite of "norm length to clip gradients". For one norm over
    all variables, chain `optax.clip_by_global_norm` before the optimizer instead.

    >>> clip = clip_by_norm_per_variable(1.0)
    >>> gradient, _ = clip.update({"w": jnp.array([3.0, 4.0])}, clip.init(None))
    >>> gradient["w"].tolist()
    [0.6, 0.8]
    """

    def clip(gradient: jax.Array) -> jax.Array:
        squared = jnp.sum(jnp.square(gradient))
        scale = jnp.where(squared > max_norm**2, max_norm * jax.lax.rsqrt(jnp.maximum(squared, 1e-30)), 1.0)
        return gradient * scale

    return optax.stateless(lambda updates, params=None: jax.tree.map(clip, updates))
