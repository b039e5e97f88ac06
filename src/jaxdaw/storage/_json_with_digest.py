"""JSON files with an embedded SHA-256 digest: atomic write, verified read."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdaw.errors import StorageError
from jaxdaw.storage._files import opened, replace, write_failure

JSON_LIMIT = 32 * 2**20
"""Bytes of a JSON file: the paths of about a hundred thousand leaves."""

JSON_DEPTH = 100
"""Levels of nesting in a JSON file."""


def write_json(path: str | Path, contents: Mapping[str, Any]) -> None:
    """Writes a JSON object with its digest. The file is replaced atomically and synced to disk.

    Raises:
      StorageError: a value that JSON has no form for (see `seal`), a full disk, or a directory that is absent or
        cannot be written to. The file is as it was before.
    """
    path = Path(path)
    text = seal(contents)
    try:
        replace(path, lambda file: file.write(text))
    except OSError as error:
        raise write_failure(path, error, "the file is as it was before", len(text)) from error


def read_json(
    path: str | Path, *, require_digest: bool = True, follow_links: bool = True, limit_bytes: int = JSON_LIMIT
) -> dict[str, Any]:
    """Returns the object that `write_json` wrote, without its digest.

    The text must be strict JSON: UTF-8, no duplicate keys, no NaN or infinity, at most `JSON_DEPTH` levels.

    Args:
      path: of the file.
      require_digest: whether a file without a digest is refused. Files of version 0.1 have none. A digest that is there
        is always verified.
      follow_links: whether the file may be a symbolic link.
      limit_bytes: the largest file that is read.

    Raises:
      StorageError: the file is absent, too large, not strict JSON, not an object, or does not match its digest.
    """
    path = Path(path)
    with opened(path, follow_links=follow_links) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit_bytes:
            expected = f"{path.name} of at most {limit_bytes:,} bytes"
            raise StorageError(f"{path} is too large", expected=expected, got=f"{size:,} bytes")
        text = file.read(limit_bytes)
    try:
        contents = parse_json(text)
    except ValueError as error:
        raise StorageError(
            f"{path} is damaged or something else", expected="a JSON object", got=_recognise(text, error)
        ) from error
    if "digest" not in contents and not require_digest:
        return contents
    digest = contents.pop("digest", None)
    if digest != _digest(contents):
        raise StorageError(
            f"{path} is damaged, or was changed by hand",
            expected="contents that match their digest",
            got="no digest" if digest is None else "others",
            cause="a copy that was cut short, a file changed by hand, or a failing disk.",
            fix="copy the file again, or use an older one",
        )
    return contents


def seal(contents: Mapping[str, Any]) -> bytes:
    """Returns JSON text with the SHA-256 of the contents under `digest`.

    Raises:
      StorageError: a value that JSON has no form for (NaN, infinity, an array, an object), keys that are no text, too
        many levels, or too large a text.
    """
    try:
        digest = _digest(contents)
        _require_shallow(contents)
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
    """Returns what `seal` was given; None if the digest does not match the contents.

    Raises:
      ValueError: not an object in strict JSON, as in `parse_json`.
    """
    contents = parse_json(text)
    digest = contents.pop("digest", None)
    return contents if digest == _digest(contents) else None


def parse_json(text: bytes) -> dict[str, Any]:
    """Returns the object in a text of strict JSON.

    Raises:
      ValueError: not UTF-8, not JSON, not an object, a duplicate key, NaN or infinity, or more than `JSON_DEPTH`
        levels.
    """
    try:
        contents = json.loads(
            text.decode("utf-8"), object_pairs_hook=without_duplicates, parse_constant=_finite, parse_float=_finite
        )
        if not isinstance(contents, dict):
            raise ValueError(f"a JSON {type(contents).__name__} in place of an object")
        _require_shallow(contents)
    except RecursionError as error:
        raise ValueError(f"more than {JSON_DEPTH} levels") from error
    return contents


def canonical_json(value: Any) -> bytes:
    """Returns the compact ASCII text of a JSON value, of which digests are made."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the object of these pairs; for `json.loads(object_pairs_hook=...)`.

    Raises:
      ValueError: a key is there twice.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # None
        raise ValueError(f"a key stands twice: {twice[:40]!r}")
    return found


def _digest(contents: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(contents)).hexdigest()


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is not a finite number")
    return number


def _require_shallow(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > JSON_DEPTH:
            raise ValueError(f"more than {JSON_DEPTH} levels")
        children: list[Any] = []
        for entry in level:
            if isinstance(entry, Mapping):
                children += entry.values()
            elif isinstance(entry, list | tuple):
                children += entry
        level = [child for child in children if isinstance(child, Mapping | list | tuple)]


def _recognise(text: bytes, error: Exception) -> str:
    if text.startswith(b"PK\x03\x04"):
        return "a zip file"
    if text.startswith(b"\x80"):
        return "Python objects that only Python could run, which is never done"
    return str(error)[:80] if text else "an empty file"
