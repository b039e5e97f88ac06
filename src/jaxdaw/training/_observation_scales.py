"""The layers that bring recorded observations to one scale."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxdaw import specs
from jaxdaw.data import Demonstrations
from jaxdaw.networks import FixedNormalizer

_IMAGE_AXES = 3
"""Axes from which on an array is an image, whose elements have one scale in common."""


def normalizing_layers(demonstrations: Demonstrations, observation_spec: Any) -> Any:
    """Returns an encoder's `preprocessing_layers`: a FixedNormalizer for each float leaf, nothing for the others.

    Means and standard deviations are those of the observations that have an action, in float64. They are found in one
    pass over the episodes, of which one at a time is in memory. An element that does not change is only centred.

    Args:
      demonstrations: whose observations are described.
      observation_spec: what the network is given.

    Returns:
      A nest of layers; None if there is nothing to normalize, or if observations do not fit the spec or are not finite,
      which the check before training says better.
    """
    wanted = specs.flatten_with_path(observation_spec)
    recorded = specs.flatten_with_path(demonstrations.observation_spec)
    if [(path, spec.shape) for path, spec in wanted] != [(path, spec.shape) for path, spec in recorded]:
        return None
    layers: list[Any] = [jax.nn.identity] * len(wanted)
    floats = [place for place, (_, spec) in enumerate(wanted) if specs.is_continuous(spec)]
    for place, (mean, deviation) in zip(floats, _moments(demonstrations, floats), strict=True):
        if not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
            return None
        constant = deviation <= np.finfo(np.float32).eps * np.abs(mean)
        scale = np.where(constant, 1.0, deviation)
        layers[place] = FixedNormalizer(wanted[place][1], mean.tolist(), scale.tolist())
    return specs.pack_like(observation_spec, layers) if floats else None


def _moments(demonstrations: Demonstrations, places: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns mean and standard deviation of some leaves; numbers for an image, else of the leaf's shape."""
    first = specs.flatten(demonstrations[0].observation)
    # Distances from the first observation: their squares do not cancel as those of large values do.
    origins = [np.asarray(first[place][0], np.float64) for place in places]
    sums: list[Any] = [[0.0, 0.0] for _ in places]
    for episode in demonstrations:
        leaves = specs.flatten(episode.observation)
        for total, place, origin in zip(sums, places, origins, strict=True):
            distance = np.asarray(leaves[place][:-1], np.float64) - origin
            total[0] += distance.sum(axis=0)
            total[1] += np.square(distance).sum(axis=0)
    moments = []
    for total, origin in zip(sums, origins, strict=True):
        mean, square = (np.asarray(value) / demonstrations.num_steps for value in total)
        deviation = np.sqrt(np.maximum(square - np.square(mean), 0.0))
        mean = mean + origin
        if mean.ndim >= _IMAGE_AXES:
            deviation = np.sqrt(np.mean(np.square(deviation)) + np.var(mean))
            mean = np.mean(mean)
        moments.append((mean, deviation))
    return moments
