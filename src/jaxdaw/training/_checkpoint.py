"""Checkpoints: a tree of arrays as a directory of safetensors and JSON, committed by one rename. Nothing in it is code."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import socket
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdaw.errors import ConfigError, StorageError, explain
from jaxdaw.training._saved import (
    CHECKPOINT,
    format_refusal,
    is_alive,
    previous_of,
    read_arrays,
    read_document,
    remove,
    write,
)
from jaxdaw.training._tree import describe, named_leaves, plain, restored, structure_refusal


def save_tree(directory: str | Path, tree: Any, metadata: dict[str, Any]) -> None:
    """Writes a pytree of arrays; the directory appears whole or not at all.

    A kill at any moment leaves what was there before, or the new one. What killed saves leave beside it is removed at the
    next save.

    Args:
      directory: where; a checkpoint that lies there is replaced.
      tree: any pytree of arrays, typed PRNG keys and Python numbers. 64 bits stay 64 bits.
      metadata: JSON values to keep beside it; no NaN.

    Raises:
      StorageError: the disk is full or read-only, `directory` holds other files, or a leaf or value cannot be stored.
    """
    leaves = named_leaves(tree)
    contents = {"leaves": {name: describe(leaf) for name, leaf in leaves.items()}, "metadata": metadata}
    write(Path(directory), CHECKPOINT, {name: plain(leaf) for name, leaf in leaves.items()}, contents)


def load_tree(directory: str | Path, like: Any) -> tuple[Any, dict[str, Any]]:
    """Reads what `save_tree` wrote.

    Args:
      directory: where.
      like: a tree of the same structure: arrays, keys, or `jax.ShapeDtypeStruct`s of them.

    Returns:
      The tree and the metadata. A leaf is a JAX array where that of `like` is one, on the default device; otherwise NumPy.

    Raises:
      StorageError: a missing, damaged or foreign file, a newer format, or another structure, with the difference by path.
    """
    document = read_document(Path(directory), CHECKPOINT)
    refusal = _refusal(Path(directory), document, like)
    if refusal is not None:
        raise refusal
    return _read(Path(directory), document, like)


class Checkpointer:
    """The checkpoints of one run, in directories `step_000050000` named by environment steps.

    Args:
      directory: made when first used.
      keep: how many of the newest to keep, at least 1.

    Raises:
      ConfigError: `keep` is less than 1.
    """

    def __init__(self, directory: str | Path, keep: int = 2):
        if keep < 1:
            raise ConfigError(explain("keep is outside its range", expected="at least 1", got=str(keep)))
        self._directory = Path(directory)
        self._keep = keep

    def save(self, step: int, tree: Any, metadata: dict[str, Any]) -> Path:
        """Writes the checkpoint of an environment step, then removes what is beyond `keep`; returns where it lies.

        Checkpoints of later steps are removed too: they belong to a history that was left by restoring an earlier one.

        Raises:
          StorageError: see `save_tree`; earlier checkpoints are as they were.
        """
        path = self._directory / f"step_{step:09d}"
        save_tree(path, tree, metadata)
        steps = self._steps()
        kept = [other for other in steps if other <= step][-self._keep :]
        for other in steps.keys() - kept:
            remove(steps[other])
        return path

    def latest(self) -> Path | None:
        """Returns the newest checkpoint, or None; whether it is whole is found out by reading it."""
        return next(reversed(self._steps().values()), None)

    def restore(self, like: Any, step: int | None = None, strict: bool = False) -> tuple[int, Any, dict[str, Any]]:
        """Returns the step, tree and metadata of a checkpoint.

        If the newest is damaged, the next one that is whole is taken, with a warning that says so.

        Args:
          like: see `load_tree`.
          step: which; None for the newest.
          strict: refuse the newest if it is damaged.

        Raises:
          StorageError: there is none, or none is whole; or, whether or not an older one would do, the newest comes from
            another structure or a newer format.
        """
        steps = self._steps()
        wanted = list(reversed(steps)) if step is None else [step]
        if not steps or wanted[0] not in steps:
            raise StorageError(
                explain(
                    f"{self._directory} holds no checkpoint" + (f" of step {step}" if step is not None else ""),
                    got=f"steps {', '.join(map(str, steps))}" if steps else "nothing",
                    fix="jaxdaw train dqn ENVIRONMENT" if step is None else f"step={next(reversed(steps), None)}",
                )
            )
        for position, candidate in enumerate(wanted):
            directory = steps[candidate]
            try:
                document = read_document(directory, CHECKPOINT)
                refusal = _refusal(directory, document, like)
                if refusal is None:
                    return candidate, *_read(directory, document, like)
            except StorageError as damage:
                if strict or position == len(wanted) - 1:
                    raise
                warnings.warn(f"falling back to step {wanted[position + 1]}: {damage}", UserWarning, stacklevel=2)
            else:
                raise refusal
        raise AssertionError("unreachable: the last candidate returns or raises")

    def _steps(self) -> dict[int, Path]:
        """Returns where the checkpoint of each step lies, oldest first."""
        found: dict[int, Path] = {}
        if self._directory.is_dir():
            for entry in sorted(self._directory.iterdir(), reverse=True):  # "step_1" after ".step_1.previous"
                match = re.fullmatch(r"step_(\d+)|\.step_(\d+)\.previous", entry.name)
                if match and entry.is_dir():
                    found.setdefault(int(match[1] or match[2]), entry)
        return dict(sorted(found.items()))


class DirectoryLock:
    """Holds a directory for this process while entered, so that two runs cannot write into it.

    The system drops the lock of a process that ends in whatever way, so a stale lock file of this host is taken over. One
    that another host left behind has to be removed by hand: over a network nobody can tell that a process is gone.

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
            raise StorageError(explain(f"cannot lock {self._path.parent}", expected="a writable directory", got=reason)) from error
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
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            try:
                owner = _owner(descriptor)
                if not _lock(descriptor, owner) or owner.get("host", socket.gethostname()) != socket.gethostname():
                    raise self._refusal(owner)
                if self._path.exists() and os.path.sameopenfile(descriptor, descriptor) and _is_at(descriptor, self._path):
                    os.truncate(descriptor, 0)
                    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # its owner removed the file in this moment: try the new one

    def _refusal(self, owner: dict[str, Any]) -> StorageError:
        here = owner.get("host") == socket.gethostname()
        return StorageError(
            explain(
                f"{self._path.parent} is in use by another run",
                expected="one run in a directory",
                got=f"process {owner.get('pid', 'unknown')} on {owner.get('host', 'this host')}",
                cause=None if here else "a run on another host; or one that was killed there, whose lock has to be removed.",
                fix="another directory" if here else f"another directory; if that run is gone, rm '{self._path}'",
            )
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


def _refusal(directory: Path, document: dict[str, Any], like: Any) -> StorageError | None:
    """Returns the error for a whole checkpoint that is not what was asked for; None if it is."""
    newer = format_refusal(directory, document)
    if newer is not None:
        return newer
    return structure_refusal(
        f"{directory} does not fit what is to be restored",
        document["leaves"],
        {name: describe(leaf) for name, leaf in named_leaves(like).items()},
        "resume with the options in the run's config.json",
    )


def _read(directory: Path, document: dict[str, Any], like: Any) -> tuple[Any, dict[str, Any]]:
    leaves = named_leaves(like)
    arrays = read_arrays(directory, CHECKPOINT, document, {name: plain(leaf) for name, leaf in leaves.items()})
    values = [restored(arrays.pop(name), leaf) for name, leaf in leaves.items()]
    return jax.tree.unflatten(jax.tree.structure(like), values), document["metadata"]
