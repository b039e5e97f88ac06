"""Run directories: what lies where, and what a run depended on."""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from jaxdaw.errors import StorageError


def read_config(directory: Path) -> dict[str, Any]:
    """Returns a run's resolved config.

    Raises:
      StorageError: the directory holds no run.
    """
    path = Path(directory) / "config.json"
    if not path.is_file():
        raise StorageError(
            f"{directory} holds no run",
            expected="a directory with config.json",
            got="none",
            fix="jaxdaw train dqn CartPole-v1",
        )
    return json.loads(path.read_text(encoding="utf-8"))


def versions() -> dict[str, str]:
    """Returns the versions that a run depends on."""
    packages = ("jaxdaw", "jax", "jaxlib", "flax", "optax", "gymnasium", "numpy")
    found = {name: metadata.version(name) for name in packages}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": jax.devices()[0].device_kind,
        **found,
    }


def new_directory(path: Path) -> Path:
    """Makes a directory for a new run and returns it.

    Raises:
      StorageError: it holds a run already, or cannot be written to.
    """
    if (path / "config.json").exists():
        raise StorageError(
            f"{path} already holds a run",
            expected="a new directory",
            got="config.json",
            fix=f"--resume {path}, or another --out",
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the run directory {path}", got=str(error.strerror)) from error
    if not os.access(path, os.W_OK):
        raise StorageError(f"cannot write to {path}", expected="a writable directory", got="read-only")
    return path


def how_to_resume(algorithm: str, directory: Path) -> str:
    """Returns what to add to the error that ended a run whose work is saved."""
    return f"  Everything until then is saved. Go on with:\n  jaxdaw train {algorithm} --resume {directory}"


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that a reader sees the old file or the new one."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
