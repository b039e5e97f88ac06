"""JSON sealed with a digest of itself, and read with suspicion."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from jaxdaw.errors import StorageError

JSON_LIMIT = 32 * 2**20
"""Bytes of sealed JSON: the paths of about a hundred thousand leaves."""


def seal(contents: Mapping[str, Any]) -> bytes:
    """Returns JSON with a digest of itself under `digest`.

    Raises:
      StorageError: a value that JSON has no form for (NaN, infinity, an array, an object), or too many of them.
    """
    try:
        digest = _digest(contents)
        text = json.dumps({**contents, "digest": digest}, allow_nan=False, indent=1).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise StorageError(
            "metadata cannot be written as JSON",
            expected="dictionaries, lists, text, finite numbers, true, false and null",
            got=str(error)[:100],
            fix="float(x) for a NumPy number; None for NaN",
        ) from error
    if len(text) > JSON_LIMIT:
        raise StorageError("metadata is too large", expected=f"{JSON_LIMIT:,} bytes", got=f"{len(text):,} bytes")
    return text


def unseal(text: bytes) -> dict[str, Any] | None:
    """Returns what `seal` was given; None if the digest tells of another content.

    Raises:
      ValueError: not an object in strict JSON: a key twice, NaN, infinity, another encoding.
      RecursionError: nested without end.
    """
    contents = json.loads(
        text.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_finite, parse_float=_finite
    )
    if not isinstance(contents, dict):
        raise ValueError(f"a JSON {type(contents).__name__} in place of an object")
    digest = contents.pop("digest", None)
    return contents if digest == _digest(contents) else None


def _dump(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def _digest(contents: Mapping[str, Any]) -> str:
    return hashlib.sha256(_dump(contents)).hexdigest()


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number
