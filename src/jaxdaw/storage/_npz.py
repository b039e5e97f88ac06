"""NPZ archives: written so that their arrays can be mapped, read one array at a time, never as Python objects."""

from __future__ import annotations

import math
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from jaxdaw.errors import StorageError
from jaxdaw.storage._files import damaged, opened, refuse_expansion

_ALIGNMENT = 64
_CHUNK = 2**20
_MAX_MEMBERS = 10_000
_MAX_RANK = 32
_MAX_BYTES = 2**62
_HEADER_LOCK = threading.Lock()  # Python up to 3.11.7 and 3.12.1 parses literals wrongly in two threads (gh-106905)
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # of a zip member: its mark, then the lengths of its name and extra field


def write_npz(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an uncompressed NPZ whose arrays begin at multiples of 64 bytes; the same arrays give the same bytes.

    Args:
      file: seekable, at its start.
      arrays: by name, of dtypes that NumPy has by itself.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                member.write(_header(array, file.tell()))
                member.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def map_npz(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of an uncompressed NPZ, read-only, which the system reads from the disk as they are used.

    The contents are not verified: that would read them all. Whoever wrote the file keeps a digest of it.

    Raises:
      StorageError: the file is truncated, compressed, no NPZ, or holds Python objects.
    """
    arrays: dict[str, np.ndarray] = {}
    with opened(path) as file, _archive(path, file) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if member.compress_type != zipfile.ZIP_STORED:
                raise StorageError(f"{path} cannot be mapped: {name} is compressed", fix="numpy.savez, or convert()")
            start = _start_of(path, name, file, member)
            shape, fortran, dtype = _read_header(path, name, file)
            size = _size_of(path, name, shape, dtype, member, file.tell() - start)
            if size == 0:
                arrays[name] = np.zeros(shape, dtype)
            else:
                order = "F" if fortran else "C"
                try:
                    arrays[name] = np.memmap(file, dtype, "r", file.tell(), shape, order).view(np.ndarray)
                except (ValueError, OSError) as error:
                    raise damaged(path, f"{size:,} bytes of {name}", str(error)[:80]) from error
    return arrays


def read_npz(path: Path, names: tuple[str, ...], limit_bytes: int) -> dict[str, np.ndarray]:
    """Returns some arrays of an NPZ, compressed or not; other members are not touched.

    Args:
      path: of the file.
      names: of the members, without `.npy`; those that are absent are left out.
      limit_bytes: the most that the arrays may take together.

    Raises:
      StorageError: the file is truncated or no NPZ, an array holds Python objects, or they take more than the limit.
    """
    arrays: dict[str, np.ndarray] = {}
    with opened(path) as file, _archive(path, file) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        wanted = {name: members[name] for name in names if name in members}
        size = sum(member.file_size for member in wanted.values())
        refuse_expansion(path, size, os.fstat(file.fileno()).st_size, limit_bytes, "numpy.savez(path, ...)")
        for name, member in wanted.items():
            if member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1:
                arrays[name] = _read_stored(path, name, file, member)
                continue
            try:
                with archive.open(member) as stream:
                    shape, fortran, dtype = _read_header(path, name, stream)
                    contents = stream.read()
            except (StorageError, MemoryError):
                raise
            except Exception as error:  # zipfile, zlib, bz2 and lzma share no base
                raise damaged(path, f"the array {name}", str(error)[:80]) from error
            if int(np.prod(shape, dtype=object)) * dtype.itemsize != len(contents):
                raise damaged(path, f"{dtype} {shape} in {name}", f"{len(contents):,} bytes")
            arrays[name] = np.frombuffer(contents, dtype).reshape(shape, order="F" if fortran else "C")
    return arrays


def verify_npz(path: Path) -> None:
    """Reads an NPZ to its end and compares every array with its CRC-32.

    Raises:
      StorageError: the file is truncated, no NPZ, or an array does not match.
    """
    with opened(path) as file, _archive(path, file) as archive:
        for member in archive.infolist():
            try:
                with archive.open(member) as stream:
                    while stream.read(_CHUNK):
                        pass
            except MemoryError:
                raise
            except Exception as error:  # zipfile, zlib, bz2 and lzma share no base
                name = member.filename.removesuffix(".npy")
                raise damaged(path, f"the array {name}, as its CRC-32 tells it", str(error)[:80]) from error


def member_names(path: Path) -> set[str]:
    """Returns the names of the arrays in an NPZ, without `.npy`.

    Raises:
      StorageError: the file is truncated or no NPZ.
    """
    with opened(path) as file, _archive(path, file) as archive:
        return {member.filename.removesuffix(".npy") for member in archive.infolist()}


def _read_stored(path: Path, name: str, file: BinaryIO, member: zipfile.ZipInfo) -> np.ndarray:
    """Returns an array that is not compressed, read and compared with its CRC-32 in one go."""
    start = _start_of(path, name, file, member)
    shape, fortran, dtype = _read_header(path, name, file)
    header_size = file.tell() - start
    size = _size_of(path, name, shape, dtype, member, header_size)
    contents = np.empty(-(-header_size // _ALIGNMENT) * _ALIGNMENT + size, np.uint8)
    contents = contents[len(contents) - size - header_size :]  # so that the array within is aligned
    file.seek(start)
    crc, position = 0, 0
    while position < len(contents):
        part = contents.data[position : position + _CHUNK]
        count = file.readinto(part)  # type: ignore[attr-defined]  # BinaryIO is a BufferedReader here
        if not count:
            raise damaged(path, f"{size:,} bytes of {name}", f"at most {position:,}")
        crc, position = zlib.crc32(part[:count], crc), position + count
    if crc != member.CRC:
        raise damaged(path, f"the array {name}, as its CRC-32 tells it", "other bytes")
    return contents[header_size:].view(dtype).reshape(shape, order="F" if fortran else "C")


def _start_of(path: Path, name: str, file: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Returns where the contents of a member begin, and goes there."""
    try:
        file.seek(member.header_offset)
        header = file.read(_LOCAL_HEADER.size)
    except (OSError, ValueError, OverflowError) as error:  # an offset that no file has
        raise damaged(path, f"the array {name}", str(error)[:80]) from error
    if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        raise damaged(path, f"the array {name}", "other bytes")
    _, *lengths = _LOCAL_HEADER.unpack(header)
    start = file.seek(sum(lengths), os.SEEK_CUR)
    left = os.fstat(file.fileno()).st_size - start
    if member.file_size > left:
        raise damaged(path, f"{member.file_size:,} bytes of {name}", f"{left:,} bytes")
    return start


def _size_of(
    path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype, member: zipfile.ZipInfo, header_size: int
) -> int:
    """Returns the bytes of an array, which are those that the archive has for it."""
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if header_size + size != member.file_size:
        raise damaged(path, f"{size:,} bytes of {name}", f"{member.file_size:,} bytes")
    return size


@contextmanager
def _archive(path: Path, file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(file)
    except Exception as error:  # BadZipFile, NotImplementedError, struct.error, OverflowError, OSError, ...
        raise damaged(path, "a whole NPZ archive", str(error)[:80]) from error
    with archive:
        names = archive.namelist()
        if len(names) > _MAX_MEMBERS:
            raise StorageError(
                f"{path} has too many arrays", expected=f"at most {_MAX_MEMBERS:,}", got=f"{len(names):,}"
            )
        if len(set(names)) != len(names):
            raise damaged(path, "arrays of different names", "a name that is there twice")
        yield archive


def _header(array: np.ndarray, offset: int) -> bytes:
    """Returns the NPY header, filled up so that an array whose header begins at `offset` is aligned."""
    described = {"descr": npy.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    text = repr(described).encode("ascii")
    prefix = npy.magic(1, 0)
    fill = -(offset + len(prefix) + 2 + len(text) + 1) % _ALIGNMENT
    text += b" " * fill + b"\n"
    return prefix + struct.pack("<H", len(text)) + text


def _read_header(path: Path, name: str, stream: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        version = npy.read_magic(stream)
        reader = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        with _HEADER_LOCK:
            shape, fortran, dtype = reader(stream)
    except Exception as error:  # NumPy parses Python text: SyntaxError, TokenError, RecursionError, MemoryError, ...
        raise damaged(path, f"an array in {name}", f"{type(error).__name__}: {error}"[:80]) from error
    if dtype.hasobject:
        raise StorageError(
            f"{path} holds Python objects in {name}, which are never loaded: reading them runs code",
            expected="an array of numbers",
            got="dtype object",
            fix=f"numpy.savez(path, {name}=numpy.stack({name})) where the file was made",
        )
    counts = all(type(size) is int and size >= 0 for size in shape) and len(shape) <= _MAX_RANK
    if not counts or not 0 < math.prod(max(size, 1) for size in shape) * dtype.itemsize <= _MAX_BYTES:
        raise damaged(path, f"an array in {name}", f"shape {shape}, {dtype.itemsize} bytes a number"[:80])
    return shape, fortran, dtype
