"""Checkpoints: trees of arrays as safetensors and JSON, committed by one rename. Nothing in them is code."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from jaxdaw.errors import ConfigError, StorageError
from jaxdaw.storage import Kind, format_refusal, read_arrays, read_document, remove_directory, write_directory
from jaxdaw.training._tree import named_leaves, plain, restored, structure_refusal, table

CHECKPOINT = Kind("checkpoint", "manifest.json", "arrays.safetensors", {"leaves": dict, "metadata": dict})


def save_tree(directory: str | Path, tree: Any, metadata: dict[str, Any]) -> None:
    """Writes a pytree of arrays; the directory appears whole or not at all.

    A kill at any moment leaves what was there before, or the new one. What killed saves leave beside it is removed at
    the next save.

    Args:
      directory: where; a checkpoint that lies there is replaced.
      tree: any pytree of arrays, typed PRNG keys and Python numbers. 64 bits stay 64 bits.
      metadata: JSON values to keep beside it; no NaN.

    Raises:
      StorageError: the disk is full or read-only, `directory` holds other files, or a leaf or value cannot be stored.
    """
    leaves = named_leaves(tree)
    contents = {"leaves": table(leaves), "metadata": metadata}
    write_directory(Path(directory), CHECKPOINT, {name: plain(leaf) for name, leaf in leaves.items()}, contents)


def load_tree(directory: str | Path, like: Any) -> tuple[Any, dict[str, Any]]:
    """Reads what `save_tree` wrote.

    Args:
      directory: where.
      like: a tree of the same structure: arrays, keys, or `jax.ShapeDtypeStruct`s of them.

    Returns:
      The tree and the metadata. Leaves are JAX arrays on the default device where those of `like` are, else NumPy.

    Raises:
      StorageError: a missing, damaged or foreign file, a newer format, or another structure, shown path by path.
    """
    document = read_document(Path(directory), CHECKPOINT)
    leaves = named_leaves(like)
    refusal = _refusal(Path(directory), document, leaves)
    if refusal is not None:
        raise refusal
    return _with_leaves(like, _read(Path(directory), document, leaves)), document["metadata"]


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
            raise ConfigError("keep is outside its range", expected="at least 1", got=str(keep))
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
            remove_directory(steps[other])
        return path

    def latest(self) -> Path | None:
        """Returns the newest checkpoint, or None; whether it is whole is found out by reading it."""
        return next(reversed(self._steps().values()), None)

    def restore(
        self,
        like: Any,
        step: int | None = None,
        strict: bool = False,
        names: Callable[[str], str] | None = None,
        may_lack: Callable[[str], bool] | None = None,
    ) -> tuple[int, Any, dict[str, Any]]:
        """Returns the step, tree and metadata of a checkpoint.

        If the newest is damaged, the next one that is whole is taken, with a warning that says so.

        Args:
          like: see `load_tree`; or a function that returns it, given the metadata.
          step: which; None for the newest.
          strict: refuse the newest if it is damaged.
          names: the path in `like` of a leaf that is saved, for checkpoints of earlier versions.
          may_lack: whether a checkpoint may lack a leaf, which then stays as it is in `like`.

        Raises:
          StorageError: there is none, or none is whole; or, whether or not an older one would do, the newest comes from
            another structure or a newer format.
        """
        steps = self._steps()
        names = names or _same
        wanted = list(steps) if step is None else [step] if step in steps else []
        if not wanted:
            raise StorageError(
                f"{self._directory} holds no checkpoint" + ("" if step is None else f" of step {step}"),
                got=f"steps {', '.join(map(str, steps))}" if steps else "nothing",
                fix=f"step={max(steps)}" if steps else None,
            )
        while True:
            candidate = wanted.pop()
            directory = steps[candidate]
            try:
                document = read_document(directory, CHECKPOINT)
                wanted_tree = like(document["metadata"]) if callable(like) else like
                leaves = named_leaves(wanted_tree)
                saved = {names(name) for name in document["leaves"]}
                lacking = {n: x for n, x in leaves.items() if may_lack is not None and may_lack(n) and n not in saved}
                stored = {name: leaf for name, leaf in leaves.items() if name not in lacking}
                refusal = _refusal(directory, document, stored, names)
                if refusal is None:
                    found = lacking | _read(directory, document, stored, names)
                    return candidate, _with_leaves(wanted_tree, found), document["metadata"]
            except StorageError as damage:
                if strict or not wanted:
                    raise
                warnings.warn(f"going back to the checkpoint of step {wanted[-1]}: {damage}", UserWarning, stacklevel=2)
            else:
                raise refusal

    def _steps(self) -> dict[int, Path]:
        """Returns where the checkpoint of each step lies, oldest first."""
        found: dict[int, Path] = {}
        if self._directory.is_dir():
            for entry in sorted(self._directory.iterdir(), reverse=True):  # "step_1" comes before ".step_1.previous"
                match = re.fullmatch(r"step_(\d+)|\.step_(\d+)\.previous", entry.name)
                if match and entry.is_dir():
                    found.setdefault(int(match[1] or match[2]), entry)
        return dict(sorted(found.items()))


def _same(name: str) -> str:
    return name


def _refusal(
    directory: Path, document: dict[str, Any], leaves: dict[str, Any], names: Callable[[str], str] = _same
) -> StorageError | None:
    """Returns the error for a whole checkpoint that is not what was asked for; None if it is."""
    newer = format_refusal(directory, document)
    if newer is not None:
        return newer
    return structure_refusal(
        f"{directory} does not fit what is to be restored",
        {names(name): text for name, text in document["leaves"].items()},
        table(leaves),
        "resume with the options in the run's config.json",
    )


def _read(
    directory: Path, document: dict[str, Any], leaves: dict[str, Any], names: Callable[[str], str] = _same
) -> dict[str, Any]:
    """Returns what is stored of each leaf, by its path in `leaves`."""
    saved = {names(name): name for name in document["leaves"]}
    stored = {saved[name]: plain(leaf) for name, leaf in leaves.items()}
    arrays = read_arrays(directory, CHECKPOINT, document, stored)
    return {name: restored(arrays.pop(saved[name]), leaf) for name, leaf in leaves.items()}


def _with_leaves(like: Any, values: dict[str, Any]) -> Any:
    return jax.tree.unflatten(jax.tree.structure(like), [values[name] for name in named_leaves(like)])
