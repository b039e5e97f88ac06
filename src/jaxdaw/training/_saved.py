"""A directory of one JSON file and one safetensors file that appears whole or not at all, and is read with suspicion.

```text
NAME/                      a checkpoint or a policy
  manifest.json            its table of contents, sealed with a digest of itself; holds the digest of the other file
  arrays.safetensors       every array
.jaxdaw-HOST-PID-LIFE-N.tmp   being written or removed; left behind by a killed process, removed at the next save
.NAME.previous             what NAME was while it is being replaced; read if a kill left no NAME
```

No name in a file is ever joined to a path, no number in a file decides how much memory is taken, and symbolic links and
devices are not opened.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import socket
import stat
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax
import numpy as np

from jaxdaw.errors import StorageError, explain

FORMAT = 1
_JSON_LIMIT = 32 * 2**20
"""Bytes of JSON: a hundred thousand leaves of 300 bytes."""

_CODES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32",
    "uint64": "U64", "int64": "I64", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "complex64": "C64",
}  # fmt: skip
"""The safetensors code of each dtype that can be stored."""

_LIFE = uuid.uuid4().hex[:8]
"""Tells this process from an earlier one of the same number: in a container the number is often 1."""

_TEMPORARY = re.compile(r"\.jaxdaw-(?P<host>.+)-(?P<pid>\d+)-(?P<life>[0-9a-f]{8})-\d+\.tmp")
_serial = itertools.count()


class Kind(NamedTuple):
    """What a saved directory is called, and the names of its two files."""

    name: str
    document: str
    arrays: str


CHECKPOINT = Kind("checkpoint", "manifest.json", "arrays.safetensors")
POLICY = Kind("policy", "policy.json", "weights.safetensors")


# Writing.


def write(directory: Path, kind: Kind, arrays: Mapping[str, Any], contents: Mapping[str, Any]) -> None:
    """Writes a saved directory; what stood there before is whole until the new one is.

    Arrays are fetched from the device, written and hashed one after the other, so that the host holds each at most once
    more.

    Args:
      directory: where; replaced if it is a saved directory of the same kind.
      kind: what it is.
      arrays: by name.
      contents: JSON for the document, beside `format`, `sha256` and `leaves`... whatever the reader needs.

    Raises:
      StorageError: `directory` holds other files; a dtype or metadata that cannot be stored; no space or no permission.
    """
    header, order = _header(arrays)
    needed = len(header) + sum(_num_bytes(array) for array in arrays.values())
    seal({**contents, "format": FORMAT})  # refused before anything is written
    place = Path(os.path.realpath(directory))
    temporary = _temporary_beside(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(place.parent)
        _refuse_to_replace(place, kind)
        temporary.mkdir()
        digest = _write_file(temporary / kind.arrays, itertools.chain([header], (_bytes_of(arrays[n]) for n in order)))
        document = seal({"format": FORMAT, "sha256": {kind.arrays: digest}, **contents})
        _write_file(temporary / kind.document, [document])
        _sync(temporary)
        _commit(temporary, place)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, StorageError):
            raise
        raise _write_failure(directory, needed, error) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def seal(contents: Mapping[str, Any]) -> bytes:
    """Returns JSON with a digest of itself.

    Raises:
      StorageError: a value that JSON has no form for: NaN, infinity, an array, an object.
    """
    try:
        body = _dump(contents)
    except (TypeError, ValueError, RecursionError) as error:
        raise StorageError(
            explain(
                "metadata cannot be written as JSON",
                expected="dictionaries, lists, text, finite numbers, true, false and null",
                got=str(error)[:100],
                fix="float(x) for a NumPy number; None for NaN",
            )
        ) from error
    if len(body) > _JSON_LIMIT:
        raise StorageError(explain("metadata is too large", expected=f"{_JSON_LIMIT:,} bytes", got=f"{len(body):,} bytes"))
    return _dump({**contents, "digest": hashlib.sha256(body).hexdigest()})


def remove(directory: Path) -> None:
    """Removes a saved directory; killed half-way, nothing that looks like one is left."""
    doomed = _temporary_beside(directory)
    with contextlib.suppress(OSError):  # what cannot be removed now is found again at the next save
        directory.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def remove_leftovers(parent: Path) -> None:
    """Removes what killed saves of this machine left in a directory; that of living processes stays."""
    for entry in parent.glob(".jaxdaw-*.tmp"):
        match = _TEMPORARY.fullmatch(entry.name)
        if match is None or match["host"] != socket.gethostname():
            continue
        pid = int(match["pid"])
        if match["life"] != _LIFE if pid == os.getpid() else not is_alive(pid):
            shutil.rmtree(entry, ignore_errors=True)


def is_alive(pid: int) -> bool:
    """Returns whether a process of this machine exists."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's, and alive
        return True
    return True


def previous_of(place: Path) -> Path:
    """Returns where a directory lies while another takes its place."""
    name = place.name if len(os.fsencode(place.name)) <= 240 else hashlib.sha256(os.fsencode(place.name)).hexdigest()
    return place.with_name(f".{name}.previous")


def _temporary_beside(place: Path) -> Path:
    return place.with_name(f".jaxdaw-{socket.gethostname()}-{os.getpid()}-{_LIFE}-{next(_serial)}.tmp")


def _refuse_to_replace(place: Path, kind: Kind) -> None:
    if not os.path.lexists(place):
        return
    other = sorted(set(os.listdir(place)) - {kind.document, kind.arrays}) if place.is_dir() else ["a file of this name"]
    if other:
        raise StorageError(
            explain(
                f"{place} holds something else than a {kind.name}, which would be lost",
                expected=f"a new directory, or one with {kind.document} and {kind.arrays} alone",
                got=", ".join(other[:3]),
                fix=f"{place / kind.name}",
            )
        )


def _commit(temporary: Path, place: Path) -> None:
    """Puts a finished directory in its place. There is always a whole one, in its place or aside."""
    aside = previous_of(place)
    if place.exists():
        remove(aside)
        place.rename(aside)
    try:
        temporary.rename(place)
    except OSError:
        if not place.exists() and aside.exists():
            aside.rename(place)
        raise
    _sync(place.parent)
    remove(aside)


def _write_file(path: Path, chunks: Iterable[Any]) -> str:
    """Writes a new file down to the disk and returns its digest."""
    digest = hashlib.sha256()
    with path.open("xb") as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_failure(directory: Path, needed: int, error: OSError) -> StorageError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return StorageError(
        explain(
            f"cannot write {directory}: {reason}; what was saved there before is untouched",
            expected=f"{needed:,} bytes{' free' if full else ' in a directory that can be written to'}",
            got=_free_space(directory) if full else reason,
            cause="the disk is full, or a quota." if full else "a directory of somebody else, or a disk mounted read-only.",
            fix="remove old runs, or save on another disk" if full else "another directory",
        )
    )


def _free_space(directory: Path) -> str:
    nearest = next(path for path in (directory, *directory.absolute().parents) if path.is_dir())
    return f"{shutil.disk_usage(nearest).free:,} bytes free"


# Reading.


def read_document(directory: Path, kind: Kind) -> dict[str, Any]:
    """Returns the JSON of a saved directory as it was written; `read_arrays` then reads the rest.

    Raises:
      StorageError: not a saved directory of this kind, or its document is damaged. The format is not looked at: see
        `format_refusal`.
    """
    path = _place(directory) / kind.document
    foreign = f"{directory} is not a jaxdaw {kind.name}"
    if not path.parent.is_dir() or not os.path.lexists(path):
        found = "a file" if directory.is_file() else f"no {kind.document}" if directory.is_dir() else "nothing there"
        raise StorageError(explain(foreign, expected=f"a directory with {kind.document} and {kind.arrays}", got=found))
    with _open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _JSON_LIMIT + 2**10:
            raise StorageError(explain(foreign, expected=f"{path} of at most {_JSON_LIMIT:,} bytes", got=f"{size:,} bytes"))
        text = file.read(size)
    try:
        document = parse(text)
    except (ValueError, RecursionError) as error:
        raise StorageError(
            explain(f"{foreign}: {path} is damaged or something else", expected="JSON", got=_start_of(text, error))
        ) from error
    digest = document.pop("digest", None)
    if digest != hashlib.sha256(_dump(document)).hexdigest():
        raise _damaged(path, f"sha256 {str(digest)[:16]}...", "other contents")
    if type(document.get("format")) is not int or not isinstance(document.get("sha256"), dict):
        raise StorageError(explain(foreign, expected="'format' and 'sha256'", got=", ".join(document)[:60]))
    return document


def format_refusal(directory: Path, document: Mapping[str, Any]) -> StorageError | None:
    """Returns the error for a document that this version cannot read, None for one that it can."""
    written = document["format"]
    if 1 <= written <= FORMAT:
        return None
    return StorageError(
        explain(
            f"{directory} was written by format {written}, this is {FORMAT}",
            cause="it comes from a newer jaxdaw.",
            fix="pip install -U jaxdaw",
        )
    )


def read_arrays(directory: Path, kind: Kind, document: Mapping[str, Any], like: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns the arrays of a saved directory, each byte read once and verified.

    The layout of the file follows from names, shapes and dtypes alone, so what `like` implies is compared with what is
    there, byte for byte, before any memory is taken.

    Args:
      directory, kind: where and what.
      document: from `read_document`.
      like: the arrays that are expected, by name: anything with `shape` and `dtype`.

    Raises:
      StorageError: the file is missing, truncated or damaged, or holds other arrays.
    """
    path = _place(directory) / kind.arrays
    expected = document["sha256"].get(kind.arrays)
    header, order = _header(like)
    size = len(header) + sum(_num_bytes(leaf) for leaf in like.values())
    digest = hashlib.sha256(header)
    arrays: dict[str, np.ndarray] = {}
    with _open_regular(path) as file:
        actual = os.fstat(file.fileno()).st_size
        if actual != size:
            raise _damaged(path, f"{size:,} bytes", f"{actual:,} bytes")
        if file.read(len(header)) != header:
            raise _damaged(path, "the arrays that its directory lists", "others")
        for name in order:
            array = np.empty(like[name].shape, np.dtype(like[name].dtype))
            view = _bytes_of(array)
            if file.readinto(view) != view.nbytes:
                raise _damaged(path, f"{size:,} bytes", "fewer")
            digest.update(view)
            arrays[name] = array
    if digest.hexdigest() != expected:
        raise _damaged(path, f"sha256 {str(expected)[:16]}...", f"sha256 {digest.hexdigest()[:16]}...")
    return arrays


def parse(text: bytes) -> dict[str, Any]:
    """Returns the object in strict JSON: no duplicate keys, no NaN, no infinity.

    Raises:
      ValueError: anything else.
    """
    document = json.loads(
        text.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant, parse_float=_finite
    )
    if not isinstance(document, dict):
        raise ValueError(f"a JSON {type(document).__name__} in place of an object")
    return document


def _place(directory: Path) -> Path:
    """Returns where a saved directory lies: in its place, or aside if a kill came between the two renames of a commit."""
    place = Path(os.path.realpath(directory))
    aside = previous_of(place) if place.name else place
    return aside if not place.exists() and aside.is_dir() else place


def _open_regular(path: Path) -> BinaryIO:
    """Opens a file that is neither a link, a device nor a pipe; the latter are not even waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        got = "a symbolic link" if path.is_symlink() else os.strerror(error.errno or 0)
        raise _damaged(path, "a file", got) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _damaged(path, "a file", "a device, pipe or directory")
    return os.fdopen(descriptor, "rb")


def _damaged(path: Path, expected: str, got: str) -> StorageError:
    return StorageError(
        explain(
            f"{path} is missing or damaged",
            expected=expected,
            got=got,
            cause="a copy that was cut short, a file changed by hand, or a failing disk.",
            fix="copy the directory again, or use an older one",
        )
    )


def _start_of(text: bytes, error: Exception) -> str:
    if text.startswith(b"PK\x03\x04"):
        return "a zip file"
    if text.startswith(b"\x80"):
        return "a pickle, which is never opened"
    return "an empty file" if not text else str(error)[:80]


# JSON and the layout of a safetensors file.


def _dump(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def _header(arrays: Mapping[str, Any]) -> tuple[bytes, list[str]]:
    """Returns the start of the safetensors file of these arrays, and the order of their names in it.

    Larger items stand first, so that every array is aligned. The library's own writer would need all arrays on the host
    at once, and loses the reason when the disk is full.
    """
    for name, array in arrays.items():
        if array.dtype.name not in _CODES:
            raise StorageError(
                explain(f"the leaf {name} cannot be stored", expected="an array of numbers", got=f"dtype {array.dtype}")
            )
    order = sorted(arrays, key=lambda name: (-np.dtype(arrays[name].dtype).itemsize, name))
    ends = list(itertools.accumulate((_num_bytes(arrays[name]) for name in order), initial=0))
    table = {
        name: {"dtype": _CODES[arrays[name].dtype.name], "shape": list(arrays[name].shape), "data_offsets": [start, end]}
        for name, start, end in zip(order, ends, ends[1:], strict=True)
    }
    text = _dump(table)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, order


def _num_bytes(array: Any) -> int:
    return math.prod(array.shape) * np.dtype(array.dtype).itemsize


def _bytes_of(array: Any) -> memoryview:
    """Returns the bytes of an array in C order and native, little-endian byte order; uncopied where that is possible."""
    host = np.asarray(jax.device_get(array), order="C")
    native = host.astype(host.dtype.newbyteorder("="), copy=False)
    return memoryview(native.reshape(-1).view(np.uint8))


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number
