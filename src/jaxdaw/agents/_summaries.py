"""Summaries computed inside the compiled step: scalars, and histograms of fixed size."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

BINS = 30


class Histogram(NamedTuple):
    """A histogram as TensorBoard stores it.

    Attributes:
      counts: `[30]` float32, how many values fell between neighbouring limits.
      limits: `[31]` float32, the edges.
      minimum, maximum, total, total_squares: `[]` float32, of the values.
    """

    counts: Any
    limits: Any
    minimum: Any
    maximum: Any
    total: Any
    total_squares: Any


def histogram(values: jax.Array) -> Histogram:
    """Returns the histogram of all entries of an array."""
    values = jnp.ravel(values).astype(jnp.float32)
    low, high = jnp.min(values), jnp.max(values)
    width = jnp.maximum(high - low, 1e-12)
    index = jnp.clip(jnp.floor((values - low) / width * BINS).astype(jnp.int32), 0, BINS - 1)
    counts = jnp.sum(index[:, None] == jnp.arange(BINS), axis=0, dtype=jnp.float32)
    limits = low + width * jnp.linspace(0.0, 1.0, BINS + 1)
    return Histogram(counts, limits, low, high, jnp.sum(values), jnp.sum(values**2))


def distribution_summary(tag: str, values: jax.Array) -> dict[str, Any]:
    """Returns the six summaries of an array: histogram, mean, mean_abs, max, min and std, under `tag/`."""
    return {
        f"{tag}/histogram": histogram(values),
        f"{tag}/mean": jnp.mean(values),
        f"{tag}/mean_abs": jnp.mean(jnp.abs(values)),
        f"{tag}/max": jnp.max(values),
        f"{tag}/min": jnp.min(values),
        f"{tag}/std": jnp.std(values),
    }


def variable_summaries(params: Any, rest: Any) -> dict[str, Any]:
    """Returns the histogram, value and norm of every floating variable, under TF-Agents' tags."""
    summaries = {}
    for name, value in named_leaves(params) + named_leaves(rest):
        if jnp.issubdtype(value.dtype, jnp.floating):
            summaries[f"Variables/{name}"] = histogram(value)
            summaries[f"summarize_vars/{name}_value"] = histogram(value)
            summaries[f"summarize_vars/{name}_value_norm"] = jnp.linalg.norm(jnp.ravel(value))
    return summaries


def gradient_summaries(gradients: Any) -> dict[str, Any]:
    """Returns the histogram and norm of every gradient, under TF-Agents' tags."""
    summaries = {}
    for name, value in named_leaves(gradients):
        summaries[f"summarize_grads/{name}_gradient"] = histogram(value)
        summaries[f"summarize_grads/{name}_gradient_norm"] = jnp.linalg.norm(jnp.ravel(value))
    return summaries


def named_leaves(tree: Any) -> list[tuple[str, jax.Array]]:
    """Returns the leaves of nested dicts with their paths, joined by `/`."""
    return [
        ("/".join(str(getattr(k, "key", k)) for k in path), leaf)
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    ]
