"""Columns of a table to features: numbers standardized, words one-hot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def encode_features(names: Sequence[str], columns: Sequence[Any]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns features `[rows, d]` float32 and their names.

    A column of numbers gets mean 0 and standard deviation 1; one that holds only 0 and 1 stays, one that never changes
    is left out. Any other column becomes one flag for each of its words.

    Args:
      names: of the columns.
      columns: each `[rows]`, numbers or text.

    >>> features, names = encode_features(["size", "colour"], [["1", "3"], ["red", "blue"]])
    >>> features.tolist(), names
    ([[-1.0, 0.0, 1.0], [1.0, 1.0, 0.0]], ('size', 'colour=blue', 'colour=red'))
    """
    found: list[np.ndarray] = []
    described: list[str] = []
    for name, column in zip(names, columns, strict=True):
        values = _numbers(column)
        if values is None:
            words, index = np.unique(np.asarray(column).astype(str), return_inverse=True)
            if len(words) > 1:
                found += [index == place for place in range(len(words))]
                described += [f"{name}={word}" for word in words]
            continue
        deviation = values.std()
        if deviation > 0.0:
            is_flag = np.isin(values, (0.0, 1.0)).all()
            found.append(values if is_flag else (values - values.mean()) / deviation)
            described.append(name)
    rows = len(columns[0]) if len(columns) else 0
    features = np.stack(found, axis=1) if found else np.zeros((rows, 0))
    return features.astype(np.float32), tuple(described)


def encode_labels(column: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns labels `[rows]` int32 and the names of the classes, in the order of their names; numbers by size.

    >>> encode_labels(["10", "9", "10"])
    (array([1, 0, 1], dtype=int32), ('9', '10'))
    """
    words, index = np.unique(np.asarray(column).astype(str), return_inverse=True)
    numbers = _numbers(words)
    order = np.arange(len(words)) if numbers is None else np.argsort(numbers, kind="stable")
    rank = np.empty(len(words), np.int32)
    rank[order] = np.arange(len(words))
    return rank[index], tuple(str(word) for word in words[order])


def _numbers(column: Any) -> np.ndarray | None:
    values = np.asarray(column)
    try:
        numbers = values.astype(np.float64)
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None
