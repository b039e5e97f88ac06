from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.recordings import episodes
from jaxdaw.data import Demonstrations, convert, verify
from jaxdaw.errors import SpecError, StorageError
from jaxdaw.specs import BoundedTensorSpec

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


def test_a_refused_conversion_leaves_nothing_behind(tmp_path: Path):
    given = Demonstrations(episodes(), action_spec=BoundedTensorSpec((), np.int64, 0, 1))  # one of the actions is 2
    with pytest.raises(SpecError, match="action does not match its spec"):
        convert(given, tmp_path / "d")
    assert not (tmp_path / "d").exists()
    (tmp_path / "d").mkdir()
    with pytest.raises(SpecError, match="action does not match its spec"):
        convert(given, tmp_path / "d")
    assert (tmp_path / "d").is_dir()  # it was there before
