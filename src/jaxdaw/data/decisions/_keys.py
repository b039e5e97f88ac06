"""Numbers by which logged decisions are known again, in another file or after more have been logged."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

_AGAIN = np.uint64(0x9E3779B97F4A7C15)  # odd, so that its multiples differ: the golden ratio times 2**64


def keys_of_ids(ids: Sequence[str]) -> np.ndarray:
    """Returns a number for each id, `[N]` uint64."""
    return _digests([text.encode() for text in ids])


def keys_of_rows(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Returns a number for each row of columns `[N, ...]`, `[N]` uint64; equal rows have different numbers.

    Args:
      columns: one at least; floating-point numbers are compared as float32.
    """
    count = len(columns[0])
    parts = []
    for column in columns:
        same = np.ascontiguousarray(column, "<f4" if column.dtype.kind == "f" else None)
        width = same.itemsize * (same.size // count if count else 0)
        parts.append(same.view(np.uint8).reshape(count, width) if width else np.zeros((count, 0), np.uint8))
    keys = _digests(list(map(bytes, np.concatenate(parts, axis=1))))
    return keys + _AGAIN * _equal_before(keys)


def _digests(rows: Sequence[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(hashlib.blake2b(row, digest_size=8).digest() for row in rows), "<u8").astype(
        np.uint64
    )


def _equal_before(keys: np.ndarray) -> np.ndarray:
    """Returns how many equal keys stand before each, `[N]` uint64."""
    order = np.argsort(keys, kind="stable")
    ordered, places = keys[order], np.arange(len(keys))
    is_first = np.ones(len(keys), bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    counts = np.empty(len(keys), np.uint64)
    counts[order] = places - np.maximum.accumulate(np.where(is_first, places, 0))
    return counts
