"""write_decisions: writes a log as JSON Lines, dsjson, or a directory of Parquet."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from jaxdaw.data.decisions._columns import TEXT
from jaxdaw.data.decisions._decisions import Decisions
from jaxdaw.data.decisions._dsjson import write_dsjson
from jaxdaw.data.decisions._jsonl import decision_rows, write_rows
from jaxdaw.data.decisions._writer import DecisionWriter
from jaxdaw.errors import StorageError
from jaxdaw.storage import replace

_ROWS = 100_000


def write_decisions(decisions: Decisions, path: str | Path) -> Path:
    """Writes a log with its joined rewards: `.dsjson`, `.jsonl`, or a directory of Parquet under any other name.

    Args:
      decisions: without faults for a directory, with all probabilities for dsjson; anything for JSON Lines. Rows
        without an id are numbered.
      path: of the new file or directory.

    Returns:
      The path.

    Raises:
      StorageError: something is there already, or cannot be written.
      SpecError: the log has faults that the form cannot hold.
      ImportError: Parquet without pyarrow.
    """
    path = Path(path)
    if path.exists():
        raise StorageError(f"{path} is there already", expected="a new file or directory", got="another")
    if decisions.decision_id is None:
        decisions = decisions.replace(decision_id=np.arange(len(decisions)).astype(TEXT))
    if path.suffix == ".dsjson":
        return write_dsjson(decisions, path)
    if path.suffix == ".jsonl":
        replace(path, lambda file: write_rows(file, decision_rows(decisions)))
        return path
    try:
        with DecisionWriter(
            path, decisions.num_arms or 1, decisions.context_spec, arm_features_spec=decisions.arm_features_spec
        ) as writer:
            for start in range(0, len(decisions), _ROWS):
                writer.extend(decisions.select(slice(start, start + _ROWS)))
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)  # half a log would pass for a whole one
        raise
    return path
