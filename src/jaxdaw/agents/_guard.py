"""The guard: refuses a step whose loss or gradient is not finite, and keeps the state before it; pure."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

LARGEST_GRADIENT = 2.0**60
"""Gradients from here on are refused: their squares, which Adam keeps, have to be finite."""


def is_sound(loss: jax.Array, gradients: Any) -> jax.Array:
    """Returns whether the loss and its derivative in every layer are finite, `[]` bool."""
    sound = jnp.isfinite(loss)
    for gradient in _telling(gradients):
        sound &= jnp.sum(jnp.abs(gradient)) < LARGEST_GRADIENT
    return sound


def _telling(gradients: Any) -> list[jax.Array]:
    """Returns the gradients to check: all but kernels that have a bias, whose gradient sums the same rows."""
    if not isinstance(gradients, dict):
        return [gradients]
    told = [value for key, value in gradients.items() if not (key == "kernel" and "bias" in gradients)]
    return [leaf for value in told for leaf in _telling(value)]


def step_unless_refused(applied: jax.Array, stepped: Any, state: Any) -> Any:
    """Returns `stepped` where the step was applied, otherwise `state`.

    The leaves of one shape wait for those of the shape before. If all waited for `applied` alone, they would be ready
    at once, and XLA would distribute operations of a microsecond each to its threads: twice the time of a small step.
    """
    new, structure = jax.tree.flatten(stepped)
    old = jax.tree.leaves(state)
    places: dict[tuple[int, ...], list[int]] = {}
    for place, leaf in enumerate(new):
        places.setdefault(jnp.shape(leaf), []).append(place)
    chosen = list(new)
    for shape in places:
        for place in places[shape]:
            chosen[place] = jnp.where(applied, new[place], old[place])
        if 0 not in shape and jnp.issubdtype(new[places[shape][0]].dtype, jnp.floating):
            first = jnp.ravel(chosen[places[shape][0]])[0]
            applied &= (first == first) | (first != first)  # always true, but XLA cannot simplify it
    return structure.unflatten(chosen)


def without_overflow(gradients: Any) -> Any:
    """Returns the gradients with 0 for entries that `is_sound` did not look at and that no optimizer could square."""
    return jax.tree.map(lambda g: jnp.where(jnp.abs(g) < LARGEST_GRADIENT, g, 0.0), gradients)
