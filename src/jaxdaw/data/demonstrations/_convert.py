"""convert: writes demonstrations of any kind to a directory of jaxdaw."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from jaxdaw.data.demonstrations._demonstrations import Demonstrations
from jaxdaw.data.demonstrations._directory import read
from jaxdaw.data.demonstrations._manifest import NAME
from jaxdaw.data.demonstrations._read import read_demonstrations
from jaxdaw.data.demonstrations._writer import DemonstrationWriter
from jaxdaw.errors import StorageError


def convert(source: str | Path | Demonstrations, target: str | Path, **options: Any) -> Demonstrations:
    """Writes demonstrations into a new directory, and returns what that directory holds.

    Args:
      source: demonstrations, or what `read_demonstrations` reads.
      target: a directory that is new or empty.
      options: of `read_demonstrations`.

    Raises:
      StorageError: the target holds something, or the source cannot be read. A new target is removed again.
      SpecError: the episodes do not fit together or not their specs, actions out of range among it: see `check`.
    """
    place = Path(target)
    if (place / NAME).exists():
        raise StorageError(
            f"{place} holds demonstrations already",
            expected="a new directory",
            got=NAME,
            fix="another directory; DemonstrationWriter adds to one that is there",
        )
    found = source if isinstance(source, Demonstrations) else read_demonstrations(source, **options)
    is_new = not place.exists()
    try:
        with DemonstrationWriter(place, found.observation_spec, found.action_spec, metadata=found.metadata) as writer:
            writer.extend(found)
    except BaseException:
        if is_new:  # half a copy would pass for a whole one
            shutil.rmtree(place, ignore_errors=True)
        raise
    return read(place, verify=False)  # written just now
