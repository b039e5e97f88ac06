"""Atomic directories of one JSON file and one safetensors file: written whole or not at all, verified when read.

```text
NAME/                           a checkpoint or a policy
  manifest.json                 what it is, the leaves, the digest of the other file and one of itself
  arrays.safetensors            every array
.jaxdaw-HOST-PID-LIFE-N.tmp     being written or removed; the next save removes what a killed process left
.NAME.previous                  the old NAME while it is being replaced; read if a kill left no NAME
```

No text from a file is joined to a path, no number from a file decides how much memory is taken, and symbolic links and
devices are not opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import shutil
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from jaxdaw.errors import StorageError
from jaxdaw.storage._files import opened, sync, write_failure, write_new
from jaxdaw.storage._json_with_digest import read_json, seal
from jaxdaw.storage._safetensors import bytes_of, layout, on_host

FORMAT = 1

_LIFE = uuid.uuid4().hex[:8]
"""Distinguishes this process from an earlier one with the same number, which in a container is often 1."""

_TEMPORARY = re.compile(r"\.jaxdaw-(?P<host>.+)-(?P<pid>\d+)-(?P<life>[0-9a-f]{8})-\d+\.tmp")
_serial = itertools.count()


class Kind(NamedTuple):
    """What a saved directory is called, the names of its two files, and the fields that its JSON must have, by type."""

    name: str
    document: str
    arrays: str
    fields: Mapping[str, type] = MappingProxyType({})


# Writing.


def write_directory(directory: Path, kind: Kind, arrays: Mapping[str, Any], contents: Mapping[str, Any]) -> None:
    """Writes a saved directory. An older one at the same place stays whole until the new one is complete.

    Arrays come from the device, are written and are hashed one after the other; each is copied at most once.

    Args:
      directory: where; replaced if it is a saved directory of the same kind.
      kind: what it is.
      arrays: by name.
      contents: JSON for the document, beside `format`, `sha256` and `digest`.

    Raises:
      StorageError: a dtype or JSON value that cannot be stored; `directory` holds other files; no space, no permission.
    """
    header, order, needed = layout(arrays)
    seal(contents)  # raises before anything is written
    place = Path(os.path.realpath(directory))
    temporary = _temporary_beside(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(place.parent)
        _refuse_to_replace(place, kind)
        temporary.mkdir()
        chunks = itertools.chain([header], (bytes_of(on_host(arrays[name])) for name in order))
        digest = write_new(temporary / kind.arrays, chunks)
        document = {"format": FORMAT, "sha256": {kind.arrays: digest}, **contents}
        write_new(temporary / kind.document, [seal(document)])
        sync(temporary)
        _commit(temporary, place)
    except BaseException as error:  # an interrupt must leave nothing behind either
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise write_failure(place, error, "the last whole save is still there", needed) from error
        raise


def remove_directory(directory: Path) -> None:
    """Removes a saved directory. It is renamed first, so a kill leaves nothing that looks like a saved directory."""
    doomed = _temporary_beside(directory)
    with contextlib.suppress(OSError):  # the next save tries again
        directory.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def remove_leftovers(parent: Path) -> None:
    """Removes what killed processes of this host left in a directory; files of living processes stay."""
    for entry in parent.glob(".jaxdaw-*.tmp"):
        match = _TEMPORARY.fullmatch(entry.name)
        if match is not None and match["host"] == socket.gethostname():
            pid = int(match["pid"])
            if match["life"] != _LIFE if pid == os.getpid() else not is_alive(pid):
                shutil.rmtree(entry, ignore_errors=True)


def is_alive(pid: int) -> bool:
    """Returns whether a process of this host exists."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # the process belongs to another user
        return True
    return True


def previous_of(place: Path) -> Path:
    """Returns where the old directory is kept while a new one replaces it."""
    too_long = len(os.fsencode(place.name)) > 240
    return place.with_name(
        f".{hashlib.sha256(os.fsencode(place.name)).hexdigest() if too_long else place.name}.previous"
    )


def _temporary_beside(place: Path) -> Path:
    return place.with_name(f".jaxdaw-{socket.gethostname()}-{os.getpid()}-{_LIFE}-{next(_serial)}.tmp")


def _refuse_to_replace(place: Path, kind: Kind) -> None:
    if not place.exists():
        return
    other = sorted(set(os.listdir(place)) - {kind.document, kind.arrays}) if place.is_dir() else ["a file"]
    if other:
        raise StorageError(
            f"{place} holds something else than a {kind.name}, which would be lost",
            expected=f"a new directory, or one with {kind.document} and {kind.arrays} alone",
            got=", ".join(other[:3]),
            fix=str(place / kind.name),
        )


def _commit(temporary: Path, place: Path) -> None:
    """Renames a finished directory to its place. At every moment the old or the new one is whole, there or aside."""
    aside = previous_of(place)
    if place.exists():
        remove_directory(aside)
        place.rename(aside)
    try:
        temporary.rename(place)
    except OSError:
        if not place.exists() and aside.exists():
            aside.rename(place)
        raise
    sync(place.parent)
    remove_directory(aside)


# Reading.


def read_document(directory: Path, kind: Kind) -> dict[str, Any]:
    """Returns the JSON of a saved directory. `format_refusal` tells whether this version knows its format.

    Raises:
      StorageError: not a saved directory of this kind, or its document is damaged.
    """
    path = _place(directory) / kind.document
    foreign = f"{directory} is not a jaxdaw {kind.name}"
    if not os.path.lexists(path):
        found = f"no {kind.document}" if path.parent.is_dir() else "a file" if path.parent.exists() else "nothing there"
        raise StorageError(foreign, expected=f"a directory with {kind.document} and {kind.arrays}", got=found)
    try:
        document = read_json(path, follow_links=False)
    except StorageError as error:
        raise StorageError(f"{foreign}: {error}") from error
    if type(document.get("format")) is not int or not isinstance(document.get("sha256"), dict):
        raise StorageError(foreign, expected="'format' and 'sha256'", got=", ".join(document)[:60])
    for name, wanted in kind.fields.items():
        if document["format"] == FORMAT and not isinstance(document.get(name), wanted):
            got = f"{type(document[name]).__name__}" if name in document else "none"
            raise StorageError(
                f"{foreign}: {path} is of something else", expected=f"{name}: a {wanted.__name__}", got=got
            )
    return document


def format_refusal(directory: Path, document: Mapping[str, Any]) -> StorageError | None:
    """Returns the error for a document that this version cannot read, None for one that it can."""
    written = document["format"]
    if 1 <= written <= FORMAT:
        return None
    return StorageError(
        f"{directory} was written by format {written}, this is {FORMAT}",
        cause="it comes from a newer jaxdaw.",
        fix="pip install -U jaxdaw",
    )


def read_arrays(
    directory: Path, kind: Kind, document: Mapping[str, Any], like: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Returns the arrays of a saved directory; each byte is read once, and is verified.

    How the file must begin and how long it must be follows from `like`, and is compared before memory is taken.

    Args:
      directory, kind: where and what.
      document: from `read_document`.
      like: the arrays that are expected, by name: anything with `shape` and `dtype`.

    Raises:
      StorageError: the file is missing, truncated or damaged, or holds other arrays.
    """
    path = _place(directory) / kind.arrays
    expected = str(document["sha256"].get(kind.arrays))
    header, order, size = layout(like)
    digest = hashlib.sha256(header)
    arrays: dict[str, np.ndarray] = {}
    with _opened(path) as file:
        actual = os.fstat(file.fileno()).st_size
        if actual != size:
            raise _damage(path, f"{size:,} bytes", f"{actual:,} bytes")
        if file.read(len(header)) != header:
            raise _damage(path, f"the arrays that {kind.document} lists", "others")
        for name in order:
            array = np.empty(like[name].shape, np.dtype(like[name].dtype).newbyteorder("="))
            view = bytes_of(array)
            if file.readinto(view) != view.nbytes:  # type: ignore[attr-defined]  # BinaryIO is a BufferedReader here
                raise _damage(path, f"{size:,} bytes", "fewer")
            digest.update(view)
            arrays[name] = array
    if digest.hexdigest() != expected:
        raise _damage(path, f"sha256 {expected[:16]}...", f"sha256 {digest.hexdigest()[:16]}...")
    return arrays


def _place(directory: Path) -> Path:
    """Returns where a saved directory lies: in its place, or aside after a kill between the two renames."""
    place = Path(os.path.realpath(directory))
    if place.exists() or not previous_of(place).is_dir():
        return place
    return previous_of(place)


def _opened(path: Path) -> BinaryIO:
    try:
        return opened(path, follow_links=False)
    except StorageError as error:
        raise _damage(path, "a file", str(error).rpartition("got  ")[2]) from error


def _damage(path: Path, expected: str, got: str) -> StorageError:
    return StorageError(
        f"{path} is missing or damaged",
        expected=expected,
        got=got,
        cause="a copy that was cut short, a file changed by hand, or a failing disk.",
        fix="copy the directory again, or use an older one",
    )
