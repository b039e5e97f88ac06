"""Journals whose records have the right digest and the wrong contents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.recordings import ACTION_SPEC, OBSERVATION_SPEC, episode
from jaxdaw.data import DemonstrationWriter, read, repair, verify
from jaxdaw.data.demonstrations._journal import read_journal
from jaxdaw.data.demonstrations._manifest import read_manifest
from jaxdaw.errors import StorageError
from jaxdaw.storage import encode_record, read_record


def killed(directory: Path) -> Path:
    """Returns the journal of a writer that was killed after two episodes."""
    writer = DemonstrationWriter(directory, OBSERVATION_SPEC, ACTION_SPEC)
    writer.extend([episode(0, 3), episode(1, 2)])
    writer._release()
    (path,) = directory.glob("*.journal")
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"length": 10**30},
        {"length": 0},
        {"length": -1},
        {"length": True},
        {"length": 2.0},
        {"length": 7},
        {"flags": 256},
        {"flags": "1"},
        {"has_reward": "yes"},
        {"info": [1]},
        {"length": None},
        None,
        [],
    ],
)
def test_a_record_of_wrong_contents_ends_the_journal(tmp_path: Path, change: Any):
    path = killed(tmp_path / "d")
    contents, position = np.fromfile(path, np.uint8), 0
    records = []
    while position < len(contents):
        record = read_record(contents, position)
        assert not isinstance(record, str)
        records.append(record)
        position = record.end
    start, first, second = records
    text = json.dumps({**json.loads(second.text), **change} if isinstance(change, dict) else change).encode()
    path.write_bytes(contents[: first.end].tobytes() + encode_record(text, second.contents.tobytes()))
    journal = read_journal(path, read_manifest(tmp_path / "d"))
    assert len(journal.episodes) == 1
    assert journal.problem is not None
    assert "cannot be read" in journal.problem
    for use in (read, verify):
        with pytest.raises(StorageError, match=r"shard-000000\.journal"):
            use(tmp_path / "d")
    assert repair(tmp_path / "d").num_episodes == 1
    assert len(read(tmp_path / "d")) == 1
    assert start.text.startswith(b"{")
