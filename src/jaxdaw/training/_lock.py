"""DirectoryLock: one run in a directory at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from pathlib import Path
from typing import Any

from jaxdaw.errors import StorageError
from jaxdaw.training._saved import is_alive


class DirectoryLock:
    """Holds a directory for this process while entered, so that two runs cannot write into it.

    The system drops the lock of a process that ends in whatever way, so a stale lock file of this host is taken over.
    One that another host left behind has to be removed by hand: nobody can tell from here whether its process is gone.

    Args:
      directory: made if it is absent; the lock is the file `.lock` in it, with the process number and the host.

    Raises:
      StorageError: another process, or another lock in this one, holds it; or the directory cannot be written to.
    """

    def __init__(self, directory: str | Path):
        self._path = Path(directory) / ".lock"
        self._descriptor = -1
        self._pid = -1

    def __enter__(self) -> DirectoryLock:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = self._acquire()
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            reason = str(error.strerror)
            raise StorageError(
                f"cannot lock {self._path.parent}", expected="a writable directory", got=reason
            ) from error
        self._pid = os.getpid()
        _held.add(self._descriptor)
        return self

    def __exit__(self, *_: object) -> None:
        if self._pid == os.getpid():  # a forked child holds nothing
            with contextlib.suppress(OSError):
                self._path.unlink()
            _held.discard(self._descriptor)
            os.close(self._descriptor)

    def _acquire(self) -> int:
        here = socket.gethostname()
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            try:
                owner = _owner(descriptor)
                if owner.get("host", here) != here or not _lock(descriptor, owner):
                    raise self._refusal(owner)
                if _is_at(descriptor, self._path):
                    os.truncate(descriptor, 0)
                    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": here}).encode(), 0)
                    return descriptor
            except OSError:
                os.close(descriptor)
                raise
            os.close(descriptor)  # its owner removed the file just now: the next one is tried

    def _refusal(self, owner: dict[str, Any]) -> StorageError:
        here = owner.get("host") == socket.gethostname()
        return StorageError(
            f"{self._path.parent} is in use by another run",
            expected="one run in a directory",
            got=f"process {owner.get('pid', 'unknown')} on {owner.get('host', 'this host')}",
            cause=None
            if here
            else "a run on another host; or one that was killed there, whose lock has to be removed.",
            fix="another directory" if here else f"another directory; if that run is gone, rm '{self._path}'",
        )


_held: set[int] = set()
"""Descriptors of the locks that this process holds."""


def _let_go() -> None:
    """Runs in a forked child: an environment worker that outlives a killed run must not keep its lock."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


def _owner(descriptor: int) -> dict[str, Any]:
    try:
        owner = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:  # empty: about to be written, or its writer was killed
        return {}
    return owner if isinstance(owner, dict) else {}


def _lock(descriptor: int, owner: dict[str, Any]) -> bool:
    """Returns whether the lock was taken. A file system without locks leaves it to the process named in the file."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return not (isinstance(owner.get("pid"), int) and is_alive(owner["pid"]))
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
