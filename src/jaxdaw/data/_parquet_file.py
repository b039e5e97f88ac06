"""Parquet files: opened, measured before they are unpacked, and read into an Arrow table."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdaw.errors import StorageError, missing_extra
from jaxdaw.storage import damaged, opened, refuse_expansion

_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_FIX = "write the columns without repeated values, or split the file"


class ParquetFile(NamedTuple):
    """What a file holds: an Arrow table, the metadata of its schema, and its size in bytes."""

    table: Any
    metadata: dict[bytes, bytes]
    file_size: int


def arrow(purpose: str) -> Any:
    """Returns pyarrow with its `parquet` and `compute`.

    Raises:
      ImportError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet  # so that `pyarrow.parquet` is there
    except ImportError:
        raise missing_extra("pyarrow", "parquet", purpose) from None
    return pyarrow


def column_names(path: Path, purpose: str) -> list[str]:
    """Returns the names of the columns of a file.

    Raises:
      ImportError: pyarrow is not installed.
      StorageError: it is no whole Parquet file.
    """
    pa = arrow(purpose)
    try:
        with opened(path) as source, pa.parquet.ParquetFile(source) as file:
            return list(file.schema_arrow.names)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def read_parquet_file(
    path: Path, limit_bytes: int, purpose: str, *, columns: Collection[str] | None = None, texts: Collection[str] = ()
) -> ParquetFile:
    """Returns the contents of a file; text stays in dictionaries, so that a repeated text is held once.

    Args:
      path: of the file.
      limit_bytes: the most that the contents may take in memory.
      purpose: what is read, for the message that a package is missing.
      columns: which to read; None reads all.
      texts: the names of columns that may hold text.

    Raises:
      ImportError: pyarrow is not installed.
      StorageError: it is no whole Parquet file, has a column twice, or unpacks to more than allowed.
    """
    pa = arrow(purpose)
    there = [name for name in column_names(path, purpose) if name in texts]
    try:
        with (
            opened(path) as source,
            pa.parquet.ParquetFile(source, read_dictionary=there, page_checksum_verification=True) as file,
        ):
            file_size = source.seek(0, 2)
            names = file.schema_arrow.names
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise damaged(path, "columns of different names", f"{twice[0]!r} twice")
            refuse_expansion(path, _size_of(file.metadata, columns), file_size, limit_bytes, _FIX)
            found = file.read(columns=None if columns is None else list(columns))
            return ParquetFile(found, dict(file.schema_arrow.metadata or {}), file_size)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def texts_of(path: Path, column: Any, file_size: int, limit_bytes: int) -> np.ndarray:
    """Returns a column of text as `[N]` Python strings; equal ones are one object.

    Raises:
      StorageError: text that is not UTF-8, or that takes more than allowed once it is unpacked.
    """
    try:
        encoded = column.unify_dictionaries().combine_chunks() if hasattr(column, "chunks") else column
        encoded = encoded if hasattr(encoded, "indices") else encoded.dictionary_encode()
        words = encoded.dictionary.to_pylist()
    except ValueError as error:  # UnicodeDecodeError, ArrowInvalid
        raise damaged(path, "text in UTF-8", str(error)[:80]) from error
    index = encoded.indices.to_numpy(zero_copy_only=False)
    lengths = np.array([16 + len(word or "") for word in words], np.int64)
    refuse_expansion(path, int(lengths[index].sum()) if len(index) else 0, file_size, limit_bytes, _FIX)
    return np.array([*words, None], object)[:-1][index]


def _size_of(metadata: Any, columns: Collection[str] | None) -> int:
    """Returns the bytes that columns take in memory, of what the footer says of their values."""
    size = 0
    for group in (metadata.row_group(index) for index in range(metadata.num_row_groups)):
        for chunk in (group.column(index) for index in range(group.num_columns)):
            if columns is not None and chunk.path_in_schema.partition(".")[0] not in columns:
                continue
            width = _WIDTHS.get(chunk.physical_type)
            if width is None:  # text: dictionaries, and four bytes of an index for each value
                size += chunk.total_uncompressed_size + 4 * chunk.num_values
            else:
                size += max(width * chunk.num_values, chunk.total_uncompressed_size)
    if size < 0:
        raise ValueError(f"columns of {size} bytes")
    return size


def _unreadable(path: Path, error: Exception) -> StorageError:
    if isinstance(error, StorageError):
        return error
    return damaged(path, "a whole Parquet file", str(error).split("\n")[0][:80])
