"""Single files: opened only if they are regular files, replaced atomically, with errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

from jaxdaw.errors import StorageError

LIMIT_BYTES = 16 * 2**30
"""What the contents of one file may take in memory, unless the caller says otherwise."""

EXPANSION = 1100
"""How many times the size of a file its contents may take in memory; deflate makes at most 1,032 bytes of one."""

_SMALL = 64 * 2**20
_CHUNK = 2**20


def opened(path: Path, *, follow_links: bool = True) -> BinaryIO:
    """Opens a regular file for reading; devices and pipes are refused, without waiting for a pipe's writer.

    Args:
      path: of the file.
      follow_links: whether the file may be a symbolic link.

    Raises:
      StorageError: it is absent, or is not a regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW))
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = str(error.strerror) if isinstance(error, OSError) else str(error)
        got = "a symbolic link" if not follow_links and Path(path).is_symlink() else reason
        raise StorageError(f"cannot read {path}", expected="a file", got=got) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StorageError(f"cannot read {path}", expected="a file", got="a device, pipe or directory")
    return os.fdopen(descriptor, "rb")


def replace(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Writes a file atomically: at every moment its name leads to the old contents or the new ones, synced to disk.

    Args:
      path: of the file; its directory must exist.
      write: is called with the new file, open for reading and writing.

    Raises:
      OSError: the disk is full or failed. The old contents stay, and nothing else is left behind.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "w+b") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync(path.parent)


def sync(directory: Path) -> None:
    """Makes the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path: Path, chunks: Iterable[bytes | memoryview]) -> str:
    """Writes a new file, synced to disk, and returns its SHA-256."""
    digest = hashlib.sha256()
    with path.open("xb") as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def sha256_of(file: BinaryIO) -> str:
    """Returns the SHA-256 of a whole file; its position moves to the end."""
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def damaged(path: Path, expected: str, got: str) -> StorageError:
    """Returns the error for a file whose contents are not what they should be."""
    return StorageError(
        f"{path} is truncated or damaged",
        expected=expected,
        got=got,
        cause="a copy that was cut short, or a failing disk.",
        fix="copy the file again",
    )


def refuse_too_large(path: Path, size: int, limit_bytes: int) -> None:
    """Raises StorageError if a file's contents take more memory than the caller allows."""
    if size > limit_bytes:
        raise StorageError(
            f"{path} holds more than may be read into memory",
            expected=f"at most {limit_bytes:,} bytes",
            got=f"{size:,} bytes",
            fix=f"limit_bytes={size}, if you trust the file",
        )


def expanded_limit(file_size: int, limit_bytes: int) -> int:
    """Returns how many bytes the contents of a file may take in memory: see `refuse_expansion`."""
    return min(limit_bytes, max(_SMALL, EXPANSION * file_size))


def refuse_expansion(path: Path, size: int, file_size: int, limit_bytes: int, fix: str) -> None:
    """Raises StorageError if contents take far more memory than their file could hold, or more than allowed.

    Columns for a million arms, or one for each different word, grow with the largest number or the number of words in a
    file, not with its size. At least 64 MiB are allowed, and at most `EXPANSION` times the size of the file.

    Args:
      path: of the file.
      size: bytes that the contents would take; nothing has been allocated yet.
      file_size: bytes.
      limit_bytes: the most that the caller allows.
      fix: what to do about it.
    """
    refuse_too_large(path, size, limit_bytes)
    if size > expanded_limit(file_size, limit_bytes):
        raise StorageError(
            f"{path} would take {size:,} bytes in memory, of a file of {file_size:,}",
            expected=f"at most {expanded_limit(file_size, limit_bytes):,} bytes",
            got=f"{size:,} bytes",
            cause="ids in place of numbers that count from 0, or a file that was made to do so.",
            fix=fix,
        )


def write_failure(place: Path, error: OSError, kept: str, needed: int | None = None) -> StorageError:
    """Returns the error for a file or directory that cannot be written.

    Args:
      place: what was to be written.
      error: what the system said.
      kept: what is still there, for the message.
      needed: bytes that have to be free; None if unknown.
    """
    reason = os.strerror(error.errno) if error.errno else str(error)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    got = reason if needed is not None else None
    if full:
        nearest = next(path for path in (place, *place.parents) if path.is_dir())
        got = f"{shutil.disk_usage(nearest).free:,} bytes free"
    expected = None
    if needed is not None:
        expected = f"{needed:,} bytes {'free' if full else 'in a directory that can be written to'}"
    return StorageError(
        f"cannot write {place}: {reason}; {kept}",
        expected=expected,
        got=got,
        cause="a full disk, or a quota." if full else None,
        fix="free some space, or write to another disk" if full else "another directory",
    )
