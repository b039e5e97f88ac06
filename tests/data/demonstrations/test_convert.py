from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.recordings import episodes
from jaxdaw.data import Demonstrations, convert, verify
from jaxdaw.errors import StorageError

from .test_imitation import write_rollouts


def test_convert_writes_what_it_reads(tmp_path: Path):
    write_rollouts(tmp_path / "x.npz")
    found = convert(tmp_path / "x.npz", tmp_path / "new" / "d", max_episode_steps=3)
    verify(tmp_path / "new" / "d")
    assert found.lengths.tolist() == [2, 3]
    assert found.truncated.tolist() == [False, True]
    assert found.metadata == {"source": "imitation"}
    assert found[1].observation[:, 0].tolist() == [6, 8, 10, 12]


def test_convert_takes_demonstrations(tmp_path: Path):
    source = Demonstrations(episodes())
    found = convert(source, tmp_path / "d")
    assert np.array_equal(found.flat().observation, source.flat().observation)
    assert [one.info for one in found] == [one.info for one in source]


def test_convert_replaces_nothing(tmp_path: Path):
    source = Demonstrations(episodes())
    convert(source, tmp_path / "d")
    with pytest.raises(StorageError, match="holds demonstrations already"):
        convert(source, tmp_path / "d")
    with pytest.raises(StorageError, match="holds something else"):
        convert(source, tmp_path)
