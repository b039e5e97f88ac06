"""Run directories: what lies where, who made them, and what a run depended on.

```text
RUN/
  config.json       algorithm, what was learned from, seeds, options at the start and those changed since; signed
  versions.json     of Python and packages
  metrics.jsonl     one row a report, an evaluation, a resumption
  tensorboard/      the same numbers
  best_policy/      the best policy so far, where something tells which is best
  policy/           the policy at the end, or where it was interrupted
  checkpoints/      the newest two
  seed_0/ seed_1/   the members of a population: config.json, metrics.jsonl, policies
  .lock             while a process works here
```
"""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from jaxdaw.errors import ConfigError, StorageError
from jaxdaw.storage import read_json, write_json
from jaxdaw.training._signature import is_signed, sign
from jaxdaw.training._upgrade import config_of_0_1

FORMAT = 2

CHECKPOINTS = "checkpoints"
"""Where in a run directory the checkpoints lie."""

_NAME = "config.json"
_KINDS: dict[str, type | tuple[type, ...]] = {
    "algorithm": str,
    "environment": (str, type(None)),
    "seed": int,
    "options": dict,
    "changed": dict,
}


def read_config(directory: str | Path) -> dict[str, Any]:
    """Returns the contents of a run's `config.json`: algorithm, environment, options, seeds; of version 0.1, too.

    Raises:
      StorageError: the directory holds no run, or the file is damaged, of a newer version, or something else.
    """
    path = Path(directory) / _NAME
    if not path.is_file():
        raise StorageError(
            f"{directory} holds no run",
            expected="a directory with config.json",
            got="none",
            fix="jaxdaw train dqn CartPole-v1",
        )
    contents = read_json(path, require_digest=False)
    written = contents.get("format")
    if type(written) is not int or not 1 <= written <= FORMAT:
        newer = type(written) is int and written > FORMAT
        raise StorageError(
            f"{path} was written by a newer jaxdaw" if newer else f"{path} describes no run",
            expected=f"format 1 to {FORMAT}",
            got=str(written)[:40],
            fix="pip install -U jaxdaw" if newer else None,
        )
    described = config_of_0_1(contents)
    for name, kind in _KINDS.items():
        value = described.get(name)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise StorageError(
                f"{path} describes no run",
                expected=f"'{name}'",
                got=f"{str(value)[:40]}" if name in described else "none",
            )
    return described


def write_config(directory: Path, described: Mapping[str, Any], signs: bool = True) -> None:
    """Writes a run's `config.json` with a digest, and signed by this user.

    Args:
      directory: of the run.
      described: the contents.
      signs: False leaves out the signature: the modules that it names are not this user's choice.

    Raises:
      StorageError: a value that JSON has no form for; a full disk.
    """
    contents = {
        "format": FORMAT,
        **{key: value for key, value in described.items() if key not in ("format", "signature")},
    }
    write_json(directory / _NAME, contents | {"signature": sign(contents) if signs else None})


def is_own(described: Mapping[str, Any]) -> bool:
    """Returns whether this user made the run whose config this is: the signature is made with a key of theirs."""
    contents = {key: value for key, value in described.items() if key != "signature"}
    return is_signed(contents, described.get("signature"))


def check_trust(directory: Path, described: Mapping[str, Any], modules: Sequence[str], trust: Sequence[str]) -> None:
    """Checks that modules which a run names may be imported.

    They may if this user made the run, or trusts them by name. Importing a module runs its code.

    Raises:
      ConfigError: a module that is not trusted, and how to say that it is.
    """
    strange = [module for module in modules if module not in trust]
    if strange and not is_own(described):
        raise ConfigError(
            f"{directory} comes from somebody else, and names code that would be run: {', '.join(strange)}",
            expected="a run that you made on this machine, or modules that you trust",
            got=f"the module {strange[0]}",
            fix=" ".join(f"--trust {shlex.quote(module)}" for module in strange) + f" (trust={strange!r} in Python)",
        )


def check_new(directory: Path) -> None:
    """Checks that a new run can be made in a directory; writes nothing.

    Raises:
      StorageError: it holds a run already, or cannot be made or written to.
    """
    if (directory / _NAME).exists():
        raise StorageError(
            f"{directory} already holds a run",
            expected="a new directory",
            got="config.json",
            fix=f"jaxdaw resume {shlex.quote(str(directory))}, or another --out",
        )
    nearest = next(path for path in (directory, *directory.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise StorageError(f"cannot make the run directory {directory}", got=f"{nearest} is a file")
    if not os.access(nearest, os.W_OK):
        raise StorageError(f"cannot write to {nearest}", expected="a writable directory", got="read-only")


def write_versions(directory: Path) -> None:
    """Writes what the run depends on."""
    write_json(directory / "versions.json", versions())


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


def command(*words: object) -> str:
    """Returns a command line that a shell takes as it stands.

    >>> command("jaxdaw", "resume", "runs/a b")
    "jaxdaw resume 'runs/a b'"
    """
    return shlex.join(str(word) for word in words)


def how_to_resume(algorithm: str, directory: Path) -> str:
    """Returns what to add to the error that ended a run whose work is saved."""
    again = command("jaxdaw", "train", algorithm, "--resume", directory)
    return f"  Everything until then is saved. Go on with:\n  {again}"
