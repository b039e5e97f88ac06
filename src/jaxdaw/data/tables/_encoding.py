"""Encodes the columns of a table as features: numbers standardized, words one-hot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxdaw.errors import ConfigError
from jaxdaw.storage import LIMIT_BYTES

_TEXT = np.dtypes.StringDType()  # of variable width: one long cell does not widen the others
_MAX_WORDS = 1_000
_MAX_CLASSES = 10_000


def encode_features(
    names: Sequence[str], columns: Sequence[Any], limit_bytes: int = LIMIT_BYTES
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns features `[rows, d]` float32 and their names.

    A column of numbers gets mean 0 and standard deviation 1; one that holds only 0 and 1 stays, one that never changes
    is left out. Any other column becomes one flag for each of its words.

    Args:
      names: of the columns.
      columns: each `[rows]`, numbers or text.
      limit_bytes: the most that the features may take in memory.

    Raises:
      ConfigError: a column with more than 1,000 different words, such as times or ids; or too many words in all.

    >>> features, names = encode_features(["size", "colour"], [["1", "3"], ["red", "blue"]])
    >>> features.tolist(), names
    ([[-1.0, 0.0, 1.0], [1.0, 1.0, 0.0]], ('size', 'colour=blue', 'colour=red'))
    """
    found: list[np.ndarray] = []
    described: list[str] = []
    for name, column in zip(names, columns, strict=True):
        values = _numbers(column)
        if values is None:
            words, index = np.unique(_text(column), return_inverse=True)
            if len(words) > _MAX_WORDS:
                raise ConfigError(
                    f"the column {name!r} has {len(words):,} different words, each of which would become a feature",
                    expected=f"at most {_MAX_WORDS:,} words, or numbers",
                    got=f"{words[0][:20]!r}, {words[1][:20]!r}, {words[2][:20]!r}, ...",
                    cause="times, ids or free text; or one cell that is no number in a column of numbers.",
                    fix="leave the column out, write times as numbers, or group the words",
                )
            if 4 * len(index) * (len(found) + len(words)) > limit_bytes:
                raise ConfigError(
                    f"the words of the columns up to {name!r} would become {len(found) + len(words):,} features",
                    expected=f"{limit_bytes:,} bytes at most",
                    got=f"{4 * len(index) * (len(found) + len(words)):,} bytes",
                    fix="leave out the columns with the most words, or group them",
                )
            if len(words) > 1:
                found += [(index == place).astype(np.float32) for place in range(len(words))]
                described += [f"{name}={word}" for word in words]
            continue
        deviation = values.std()
        if deviation > 0.0:
            is_flag = np.isin(values, (0.0, 1.0)).all()
            found.append((values if is_flag else (values - values.mean()) / deviation).astype(np.float32))
            described.append(name)
    rows = len(columns[0]) if len(columns) else 0
    features = np.stack(found, axis=1) if found else np.zeros((rows, 0))
    return features.astype(np.float32), tuple(described)


def encode_labels(column: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns labels `[rows]` int32 and the names of the classes, in the order of their names; numbers by size.

    >>> encode_labels(["10", "9", "10"])
    (array([1, 0, 1], dtype=int32), ('9', '10'))
    """
    words, index = np.unique(_text(column), return_inverse=True)
    if len(words) > _MAX_CLASSES:
        raise ConfigError(
            f"the column of labels has {len(words):,} different values, each of which would become a class",
            expected=f"at most {_MAX_CLASSES:,}",
            got=f"{words[0][:20]!r}, {words[1][:20]!r}, {words[2][:20]!r}, ...",
            cause="a column of times, ids or measurements; without a name, the last column is the label.",
            fix="label='...' names another column",
        )
    numbers = _numbers(words)
    order = np.arange(len(words)) if numbers is None else np.argsort(numbers, kind="stable")
    rank = np.empty(len(words), np.int32)
    rank[order] = np.arange(len(words))
    return rank[index], tuple(str(word) for word in words[order])


def _text(column: Any) -> np.ndarray:
    if isinstance(column, list | tuple) and set(map(type, column)) == {str}:
        return np.array(column, _TEXT)
    values = np.asarray(column)
    return np.array([str(value) for value in values], _TEXT) if values.dtype.kind == "O" else values.astype(_TEXT)


def _numbers(column: Any) -> np.ndarray | None:
    is_text = isinstance(column, list | tuple) and set(map(type, column)) == {str}
    values = np.array(column, _TEXT) if is_text else np.asarray(column)
    try:
        numbers = values.astype(np.float64)
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None
