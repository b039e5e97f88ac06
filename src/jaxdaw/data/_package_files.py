"""Data files of installed Python and R packages, found without importing the packages."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

_R_LIBRARIES = ("/usr/lib/R/site-library", "/usr/local/lib/R/site-library", "/usr/lib/R/library")


def python_file(distribution: str, file: str, path: str | Path | None, table: str, install: str) -> Path:
    """Returns the place of a file of an installed Python package.

    Args:
      distribution: the package's name where it is installed from.
      file: relative to where packages lie.
      path: a folder to look in instead, at any depth that ends as `file` does, or the file itself.
      table: what is read, for the error.
      install: the line that installs the package.

    Raises:
      ImportError: it is not there; the message has `install`.
    """
    if path is not None:
        return _below(Path(path), file, table)
    try:
        found = Path(str(metadata.distribution(distribution).locate_file(file)))
    except metadata.PackageNotFoundError:
        found = None
    if found is None or not found.is_file():
        raise ImportError(
            f"the table '{table}' lies in the package '{distribution}', which is not installed.\n  Fix: {install}"
        )
    return found


def r_file(package: str, file: str, path: str | Path | None, table: str, install: str) -> Path:
    """Returns the place of a file of an installed R package; arguments and errors are those of `python_file`."""
    if path is not None:
        return _below(Path(path), file, table)
    own = [entry for name in ("R_LIBS", "R_LIBS_USER", "R_LIBS_SITE") for entry in os.environ.get(name, "").split(":")]
    for library in (*filter(None, own), *_R_LIBRARIES):
        found = Path(library) / package / file
        if found.is_file():
            return found
    raise ImportError(
        f"the table '{table}' lies in the R package '{package}', which is not installed.\n"
        f"  Fix: {install}; or name the folder that holds {Path(file).name}: path='...'"
    )


def _below(path: Path, file: str, table: str) -> Path:
    """Returns the file under a folder that a person named: by its whole path, or by any end of it."""
    if path.is_file():
        return path
    parts = Path(file).parts
    for start in range(len(parts)):
        found = path.joinpath(*parts[start:])
        if found.is_file():
            return found
    deeper = sorted(path.rglob(parts[-1]))
    if deeper:
        return deeper[0]
    raise ImportError(f"{path} does not hold the table '{table}'.\n  Fix: a folder with {parts[-1]} in it")
