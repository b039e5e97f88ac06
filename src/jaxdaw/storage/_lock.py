"""DirectoryLock: one process at a time uses a directory."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import shlex
import socket
from pathlib import Path
from typing import Any

from jaxdaw.errors import StorageError
from jaxdaw.storage._atomic_directory import is_alive


class DirectoryLock:
    """Holds a directory for this process while entered, so that no other process writes into it.

    The system releases the lock when its process ends, in whatever way, so the lock file of a dead process on this host
    is taken over. One that another host left behind has to be removed by hand, because nobody can tell from here
    whether its process is alive.

    Args:
      directory: made if it is absent, and removed again on exit if it is still empty. The lock is the file `.lock` in
        it, with the process number, the host and the time.
      user: what holds the directory, for the message: a run, a writer.

    Raises:
      StorageError: another process, or another lock in this one, holds it; or the directory cannot be written to.
    """

    def __init__(self, directory: str | Path, user: str = "run"):
        self._path = Path(directory) / ".lock"
        self._user = user
        self._descriptor = -1
        self._pid = -1
        self._made: list[Path] = []

    def acquire(self) -> None:
        """Takes the lock; see the class."""
        directory = self._path.parent
        absent = [path for path in (directory, *directory.parents) if not os.path.lexists(path)]
        self._made = absent
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._descriptor = self._acquire()
        except OSError as error:
            self._remove_empty()
            if isinstance(error, StorageError):
                raise
            reason = str(error.strerror)
            raise StorageError(f"cannot lock {directory}", expected="a writable directory", got=reason) from error
        self._pid = os.getpid()
        _held.add(self._descriptor)

    def release(self) -> None:
        """Gives the lock back. A second call does nothing, and neither does one in a forked child."""
        if self._descriptor >= 0 and self._pid == os.getpid():
            with contextlib.suppress(OSError):
                self._path.unlink()
            _held.discard(self._descriptor)
            os.close(self._descriptor)
            self._remove_empty()
        self._descriptor = -1

    @property
    def is_held(self) -> bool:
        """Whether this object holds the directory."""
        return self._descriptor >= 0 and self._pid == os.getpid()

    def __enter__(self) -> DirectoryLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _remove_empty(self) -> None:
        for path in self._made:
            with contextlib.suppress(OSError):  # it is not empty, or was not made
                path.rmdir()
        self._made = []

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
                    started = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
                    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": here, "since": started}).encode(), 0)
                    return descriptor
            except OSError:
                os.close(descriptor)
                raise
            os.close(descriptor)  # the owner just removed this file: try again with a new one

    def _refusal(self, owner: dict[str, Any]) -> StorageError:
        here = owner.get("host") == socket.gethostname()
        since = f" since {str(owner['since'])[:40]}" if "since" in owner else ""
        return StorageError(
            f"{self._path.parent} is in use by another {self._user}",
            expected=f"one {self._user} in a directory",
            got=f"process {owner.get('pid', 'unknown')} on {owner.get('host', 'this host')}{since}",
            cause=None
            if here
            else f"a {self._user} on another host; or one that was killed there, whose lock has to be removed.",
            fix="another directory"
            if here
            else f"another directory; if that {self._user} is gone, rm {shlex.quote(str(self._path))}",
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
    except (ValueError, RecursionError):  # empty: about to be written, or its writer was killed
        return {}
    return owner if isinstance(owner, dict) else {}


def _lock(descriptor: int, owner: dict[str, Any]) -> bool:
    """Returns whether the lock was taken. On a file system without locks, it is if the process in the file is dead."""
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
