"""summary: counts, lengths, returns and action statistics of demonstrations."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.data.demonstrations._demonstrations import Demonstrations

_MAX_CLASSES = 1000


def summary(demonstrations: Demonstrations) -> dict[str, Any]:
    """Returns plain numbers and text that tell what demonstrations hold; JSON can hold it unless values are not finite.

    Returns:
      `num_episodes`, `num_steps`; `lengths` and `returns` (None without rewards), each with `mean`, `std`, `min`,
      `median` and `max`; `endings`, episodes that `terminated`, were `truncated` only, or are `unknown`; `actions`: by
      the path of each leaf ("" for a single one) for integers of one number the steps of each value, for others
      `mean`, `std`, `min` and `max` of each component, as nested lists; ``observation_spec`` and
      ``action_spec`` as text.
    """
    terminated, truncated = demonstrations.terminated, demonstrations.truncated
    returns = demonstrations.returns
    return {
        "num_episodes": len(demonstrations),
        "num_steps": demonstrations.num_steps,
        "lengths": _figures(demonstrations.lengths),
        "returns": None if returns is None else _figures(returns),
        "endings": {
            "terminated": int(terminated.sum()),
            "truncated": int((truncated & ~terminated).sum()),
            "unknown": int((~terminated & ~truncated).sum()),
        },
        "actions": {
            path: _actions(demonstrations, index, spec)
            for index, (path, spec) in enumerate(specs.flatten_with_path(demonstrations.action_spec))
        },
        "observation_spec": str(demonstrations.observation_spec),
        "action_spec": str(demonstrations.action_spec),
    }


def _figures(values: np.ndarray) -> dict[str, float]:
    names = ("mean", "std", "min", "median", "max")
    return {name: float(getattr(np, name)(values)) for name in names}


def _actions(demonstrations: Demonstrations, index: int, spec: specs.TensorSpec) -> dict[Any, Any]:
    counts: dict[int, int] = {}
    total, squares, low, high = 0.0, 0.0, np.inf, -np.inf
    is_histogram = specs.is_discrete(spec) and not spec.shape
    for episode in demonstrations:
        leaf = np.asarray(specs.flatten(episode.action)[index])
        if is_histogram:
            for value, count in zip(*np.unique(leaf, return_counts=True), strict=True):
                counts[int(value)] = counts.get(int(value), 0) + int(count)
        exact = leaf.astype(np.float64)
        total, squares = total + exact.sum(axis=0), squares + (exact**2).sum(axis=0)
        low, high = np.minimum(low, exact.min(axis=0)), np.maximum(high, exact.max(axis=0))
    if is_histogram and len(counts) <= _MAX_CLASSES:
        return dict(sorted(counts.items()))
    mean = total / demonstrations.num_steps
    std = np.sqrt(np.maximum(squares / demonstrations.num_steps - mean**2, 0.0))
    figures = {"mean": mean, "std": std, "min": low, "max": high}
    return {name: np.asarray(value).tolist() for name, value in figures.items()}
