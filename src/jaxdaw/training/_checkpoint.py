"""Checkpoints: a directory of arrays and JSON, committed by one rename. Nothing in a file is ever executed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from jaxdaw.errors import StorageError, explain

FORMAT = 1
ARRAYS, MANIFEST = "arrays.safetensors", "manifest.json"
_MANIFEST_LIMIT = 16 * 2**20
_KEY = "key:"


def save_tree(directory: Path, tree: Any, metadata: dict[str, Any]) -> None:
    """Writes a pytree of arrays; the directory appears whole or not at all.

    Args:
      directory: where; replaced if it exists.
      tree: any pytree of arrays and typed keys.
      metadata: JSON values to keep beside it.

    Raises:
      StorageError: the disk is full or read-only; what was there before still is.
    """
    directory = Path(directory)
    arrays, kinds = {}, {}
    for name, leaf in _named(tree):
        if name in arrays:
            raise StorageError(explain(f"two leaves are called {name}", fix="rename one of the dictionary keys"))
        arrays[name], kinds[name] = _to_host(leaf)
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True, exist_ok=True)
        save_file(arrays, temporary / ARRAYS)
        manifest = {
            "format": FORMAT,
            "sha256": {ARRAYS: _digest(temporary / ARRAYS)},
            "leaves": {n: {"shape": list(a.shape), "dtype": str(a.dtype), "kind": kinds[n]} for n, a in arrays.items()},
            "metadata": metadata,
        }
        (temporary / MANIFEST).write_text(json.dumps(manifest, allow_nan=False), encoding="utf-8")
        for path in (temporary / ARRAYS, temporary / MANIFEST, temporary):
            _sync(path)
        _commit(temporary, directory)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        needed = sum(a.nbytes for a in arrays.values())
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StorageError(
            explain(
                f"cannot write {directory}: {reason}",
                expected=f"{needed:,} bytes of space" if full else "a writable directory",
                got=reason,
                cause="the disk is full." if full else None,
                fix="--out DIRECTORY on another disk; what was saved before is untouched",
            )
        ) from error


def load_tree(directory: Path, like: Any) -> tuple[Any, dict[str, Any]]:
    """Reads what `save_tree` wrote.

    Args:
      directory: where.
      like: a tree of the same structure, of arrays or `jax.ShapeDtypeStruct`s.

    Returns:
      The tree, and the metadata.

    Raises:
      StorageError: a missing, damaged or foreign file, or another structure; the message shows the difference.
    """
    arrays, manifest = read_directory(Path(directory))
    wanted = _named(like)
    kinds = {name: entry["kind"] for name, entry in manifest["leaves"].items()}
    differences = [f"- {name}" for name, _ in wanted if name not in arrays]
    differences += [f"+ {name}" for name in sorted(set(arrays) - {name for name, _ in wanted})]
    for name, leaf in wanted:
        if name in arrays:
            shape, dtype = _described(leaf)
            if tuple(arrays[name].shape) != shape or arrays[name].dtype != dtype:
                differences.append(f"  {name}: {arrays[name].dtype} {arrays[name].shape}, expected {dtype} {shape}")
    if differences:
        shown = "\n    ".join(differences[:8]) + (
            f"\n    and {len(differences) - 8} more" if len(differences) > 8 else ""
        )
        raise StorageError(
            f"{directory} was saved from something else: {len(differences)} leaves differ (- missing, + unexpected)\n"
            f"    {shown}\n  Likely cause: another network, environment or algorithm than the run's.\n"
            "  Fix: resume with the options in the run's config.json"
        )
    leaves = [_from_host(arrays[name], kinds[name]) for name, _ in wanted]
    return jax.tree.unflatten(jax.tree.structure(like), leaves), manifest["metadata"]


def read_directory(directory: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns the arrays by name and the manifest of a directory, verified.

    Raises:
      StorageError: see `load_tree`.
    """
    manifest = read_manifest(directory)
    path = directory / ARRAYS
    digest = manifest["sha256"].get(ARRAYS) if isinstance(manifest.get("sha256"), dict) else None
    if path.is_symlink() or not path.is_file() or digest != _digest(path):
        raise StorageError(
            explain(
                f"{path} is missing or damaged",
                expected=f"sha256 {str(digest)[:16]}...",
                got="no file" if not path.is_file() else f"sha256 {_digest(path)[:16]}...",
                cause="a copy that was cut short, or a failing disk.",
                fix="an older checkpoint of the run",
            )
        )
    try:
        return load_file(path), manifest
    except (SafetensorError, ValueError) as error:
        raise StorageError(explain(f"{path} cannot be read", got=str(error)[:100])) from error


def read_manifest(directory: Path) -> dict[str, Any]:
    """Returns the manifest of a directory.

    Raises:
      StorageError: none, not JSON, or of a newer format.
    """
    path = directory / MANIFEST
    if path.is_symlink() or not path.is_file() or not 0 < path.stat().st_size <= _MANIFEST_LIMIT:
        raise StorageError(
            explain(
                f"{directory} is not a jaxdaw checkpoint or policy", expected=f"a directory with {MANIFEST}", got="none"
            )
        )
    try:
        manifest = json.loads(path.read_bytes(), object_pairs_hook=_no_duplicates, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise StorageError(
            explain(f"{path} is not the manifest of a jaxdaw directory", got=str(error)[:100])
        ) from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int) or "leaves" not in manifest:
        raise StorageError(
            explain(f"{path} is not the manifest of a jaxdaw directory", got=str(type(manifest).__name__))
        )
    if manifest["format"] > FORMAT:
        raise StorageError(
            explain(
                f"{directory} was written by a newer jaxdaw",
                expected=f"format {FORMAT} or older",
                got=f"format {manifest['format']}",
                fix="pip install -U jaxdaw",
            )
        )
    return manifest


class Checkpointer:
    """The checkpoints of one run, newest last.

    Args:
      directory: made when first used.
      keep: how many to keep.
    """

    def __init__(self, directory: Path, keep: int = 2):
        self._directory = Path(directory)
        self._keep = keep

    def save(self, step: int, tree: Any, metadata: dict[str, Any]) -> Path:
        """Writes the checkpoint of an environment step and removes the oldest beyond `keep`; returns where it lies."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for leftover in self._directory.glob(".*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)
        path = self._directory / f"step_{step:012d}"
        save_tree(path, tree, metadata)
        for old in self._paths()[: -self._keep]:
            shutil.rmtree(old, ignore_errors=True)
        return path

    def latest(self) -> Path | None:
        """Returns the newest checkpoint, or None."""
        paths = self._paths()
        return paths[-1] if paths else None

    def restore(self, like: Any, step: int | None = None, strict: bool = False) -> tuple[int, Any, dict[str, Any]]:
        """Returns the step, tree and metadata of a checkpoint.

        Args:
          like: see `load_tree`.
          step: which; None is the newest that is whole.
          strict: refuse to fall back when the newest is damaged.

        Raises:
          StorageError: there is none, or none is whole.
        """
        paths = self._paths() if step is None else [self._directory / f"step_{step:012d}"]
        if not paths:
            raise StorageError(explain(f"{self._directory} holds no checkpoint", fix="jaxdaw train dqn ENVIRONMENT"))
        for position, path in enumerate(reversed(paths)):
            try:
                tree, metadata = load_tree(path, like)
                return int(path.name.removeprefix("step_")), tree, metadata
            except StorageError as error:
                if strict or position == len(paths) - 1:
                    raise
                warnings.warn(f"falling back to an older checkpoint: {error}", UserWarning, stacklevel=2)
        raise AssertionError("unreachable: the last path returns or raises")

    def _paths(self) -> list[Path]:
        if not self._directory.is_dir():
            return []
        return sorted(p for p in self._directory.glob("step_*") if p.is_dir() and p.name[5:].isdigit())


class DirectoryLock:
    """Holds a directory for this process while entered; a lock of a process that is gone is taken over.

    Raises:
      StorageError: another live process holds it.
    """

    def __init__(self, directory: Path):
        self._path = Path(directory) / ".lock"

    def __enter__(self) -> DirectoryLock:
        owner = {"pid": os.getpid(), "host": socket.gethostname()}
        for _ in range(2):
            try:
                with self._path.open("x", encoding="utf-8") as file:
                    json.dump(owner, file)
                return self
            except FileExistsError:
                if not self._is_stale():
                    break
                self._path.unlink(missing_ok=True)
        raise StorageError(
            explain(
                f"{self._path.parent} is in use by another run",
                got=self._path.read_text(encoding="utf-8"),
                fix="another --out",
            )
        )

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)

    def _is_stale(self) -> bool:
        try:
            owner = json.loads(self._path.read_text(encoding="utf-8"))
            if owner["host"] != socket.gethostname():
                return False
            os.kill(int(owner["pid"]), 0)
        except (ProcessLookupError, ValueError, KeyError, FileNotFoundError):
            return True
        except PermissionError:
            return False
        return False


def _named(tree: Any) -> list[tuple[str, Any]]:
    return [
        ("/".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path) or "leaf", leaf)
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    ]


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(getattr(leaf, "dtype", np.dtype(bool)), jax.dtypes.prng_key)


def _to_host(leaf: Any) -> tuple[np.ndarray, str]:
    if _is_key(leaf):
        return np.asarray(jax.random.key_data(leaf)), f"{_KEY}{jax.random.key_impl(leaf)}"
    return np.ascontiguousarray(jax.device_get(leaf)).reshape(np.shape(leaf)), "array"


def _from_host(array: np.ndarray, kind: str) -> Any:
    return (
        jax.random.wrap_key_data(jnp.asarray(array), impl=kind.removeprefix(_KEY)) if kind.startswith(_KEY) else array
    )


def _described(leaf: Any) -> tuple[tuple[int, ...], np.dtype]:
    if _is_key(leaf):
        data = jax.eval_shape(jax.random.key_data, leaf)
        return tuple(data.shape), np.dtype(data.dtype)
    return tuple(np.shape(leaf)), np.dtype(getattr(leaf, "dtype", np.asarray(leaf).dtype))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _commit(temporary: Path, directory: Path) -> None:
    """Puts a finished directory in its place; the old one, if any, is put aside first and removed last."""
    aside = directory.with_name(f".{directory.name}.{os.getpid()}.old.tmp")
    if directory.exists():
        directory.rename(aside)
    temporary.rename(directory)
    shutil.rmtree(aside, ignore_errors=True)
    _sync(directory.parent)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
