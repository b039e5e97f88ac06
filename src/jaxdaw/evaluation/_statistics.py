"""Interquartile mean and bootstrap confidence intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A confidence interval, inclusive."""

    low: float
    high: float


def iqm(values: Any, axis: int = -1) -> Any:
    """Returns the interquartile mean: that of the middle half, the quarter of values at each end counted in part.

    Source: Agarwal et al. 2021.

    Args:
      values: `[..., n]`.
      axis: over which.

    >>> float(iqm([0.0, 1.0, 2.0, 100.0]))  # the middle two
    1.5
    """
    ordered = np.sort(np.moveaxis(np.asarray(values, np.float64), axis, -1), axis=-1)
    n = ordered.shape[-1]
    edges = np.arange(n + 1)
    weight = np.clip(np.minimum(edges[1:], 0.75 * n) - np.maximum(edges[:-1], 0.25 * n), 0.0, None)
    return ordered @ (weight / weight.sum())


def bootstrap_interval(
    samples: Any,
    statistic: Callable[..., Any] = np.mean,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Returns the percentile bootstrap interval of a statistic of independent samples.

    Args:
      samples: `[n]`.
      statistic: called with `[resamples, n]` and `axis=-1`.
      confidence: in `(0, 1)`.
      resamples: how many.
      seed: of the resampling.

    >>> bootstrap_interval([1.0, 1.0, 1.0])
    Interval(low=1.0, high=1.0)
    """
    samples = np.asarray(samples, np.float64)
    index = np.random.default_rng(seed).integers(0, len(samples), (resamples, len(samples)))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(statistic(samples[index], axis=-1), (tail, 1.0 - tail))
    return Interval(float(low), float(high))
