"""Records of an append-only file: text and bytes, each verified by itself, so that a cut file loses only its end.

Appending one record is one write and one `fsync`. A file for each record would need two: of the file, and of its name.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import NamedTuple

import numpy as np

_MAGIC = b"JDEPISOD"
_HEADER = struct.Struct("<8sQQI32s")  # mark, size of text, size of contents, CRC-32 of these three, SHA-256 of the rest
_CHECKED = struct.Struct("<8sQQ")
_ALIGNMENT = 64


class Record(NamedTuple):
    """One record: its text, its bytes (padded with zeros to a multiple of 64), and where the next one begins."""

    text: bytes
    contents: np.ndarray
    end: int


def encode_record(text: bytes, contents: bytes) -> bytes:
    """Returns a record as it is appended. In a file whose records all come from here, `contents` begins aligned."""
    text += b" " * (-(_HEADER.size + len(text)) % _ALIGNMENT)
    contents += b"\0" * (-len(contents) % _ALIGNMENT)
    digest = hashlib.sha256(text)
    digest.update(contents)
    checked = _CHECKED.pack(_MAGIC, len(text), len(contents))
    return _HEADER.pack(_MAGIC, len(text), len(contents), zlib.crc32(checked), digest.digest()) + text + contents


def read_record(file: np.ndarray, position: int) -> Record | str:
    """Returns the record that begins at a position, verified; or, in words, what stands there instead.

    Args:
      file: `[bytes]` uint8, usually a memory map; the record's contents are a view of it.
      position: in bytes.
    """
    left = len(file) - position
    header = bytes(file[position : position + _HEADER.size])
    if len(header) < _HEADER.size:
        return f"{left:,} bytes of an unfinished record"
    magic, text_size, contents_size, crc, digest = _HEADER.unpack(header)
    if magic != _MAGIC or zlib.crc32(header[: _CHECKED.size]) != crc:
        return f"{left:,} bytes that are no record"
    start, end = position + _HEADER.size, position + _HEADER.size + text_size + contents_size
    if end > len(file):
        return f"{left:,} bytes of an unfinished record"
    body = file[start:end]
    if hashlib.sha256(body.data).digest() != digest:
        return "a record that does not match its digest"
    return Record(bytes(body[:text_size]), body[text_size:], end)
