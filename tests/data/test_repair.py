"""repair keeps what is sound: which episodes those are is known from where the damage was done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.recordings import ACTION_SPEC, OBSERVATION_SPEC, episode
from jaxdaw.data import DemonstrationWriter, read, repair, verify
from jaxdaw.errors import StorageError


def make(path: Path, count: int, shard_bytes: int = 2**20, close: bool = True) -> Path:
    writer = DemonstrationWriter(path, OBSERVATION_SPEC, ACTION_SPEC, shard_bytes=shard_bytes)
    for index in range(count):
        writer.add(episode(index, 3))
    if close:
        writer.close()
    else:
        writer._release()  # as if it had been killed
    return path


def indices(path: Path) -> list[int]:
    return [int(one.observation[0, 0]) for one in read(path)]


def test_a_sound_directory_stays_as_it_is(tmp_path: Path):
    make(tmp_path, 3)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert repair(tmp_path) == (3, 0, (), ())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_unfinished_episode_is_moved_aside_and_the_writer_goes_on(tmp_path: Path):
    make(tmp_path, 3, close=False)
    journal = tmp_path / "shard-000000.journal"
    torn = journal.read_bytes()[:-10]
    journal.write_bytes(torn)
    done = repair(str(tmp_path))
    assert (done.num_episodes, done.num_lost) == (2, 0)
    assert done.aside == (tmp_path / "shard-000000.journal.damaged-1",)
    assert done.aside[0].read_bytes() == torn
    assert indices(tmp_path) == [0, 1]
    verify(tmp_path)
    with DemonstrationWriter(tmp_path, OBSERVATION_SPEC, ACTION_SPEC) as writer:
        writer.add(episode(7, 2))
    assert indices(tmp_path) == [0, 1, 7]


def test_a_damaged_episode_ends_what_is_kept_of_a_journal(tmp_path: Path):
    make(tmp_path, 4, close=False)
    journal = tmp_path / "shard-000000.journal"
    contents = bytearray(journal.read_bytes())
    contents[len(contents) // 2 + 100] ^= 1  # within episode 2 of 0 to 3
    journal.write_bytes(contents)
    assert repair(tmp_path).num_episodes == 2
    assert indices(tmp_path) == [0, 1]


@pytest.mark.parametrize("which", [0, 1, -1])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_shard_is_moved_aside_and_the_others_are_kept(tmp_path: Path, which: int, damage: str):
    make(tmp_path, 6, shard_bytes=600)
    sizes = [len(one.lengths) for one in read(tmp_path)._shards]
    assert len(sizes) > 2
    shard = sorted(tmp_path.glob("*.npz"))[which]
    contents = bytearray(shard.read_bytes())
    contents[len(contents) // 2] ^= 1
    if damage == "remove":
        shard.unlink()
    else:
        shard.write_bytes(contents if damage == "flip" else contents[:50])
    done = repair(tmp_path)
    numbers = np.repeat(range(len(sizes)), sizes)
    lost = which % len(sizes)
    assert indices(tmp_path) == [index for index in range(6) if numbers[index] != lost]
    assert (done.num_episodes, done.num_lost) == (6 - sizes[lost], sizes[lost])
    assert shard.name in done.problems[0]
    assert [path.name for path in done.aside] == ([] if damage == "remove" else [f"{shard.name}.damaged-1"])
    verify(tmp_path)
    with DemonstrationWriter(tmp_path, OBSERVATION_SPEC, ACTION_SPEC) as writer:
        writer.add(episode(7, 2))
    assert indices(tmp_path)[-1] == 7


def test_journal_and_last_shard_damaged_together(tmp_path: Path):
    make(tmp_path, 6, shard_bytes=600, close=False)
    shard = sorted(tmp_path.glob("*.npz"))[-1]
    in_shards = sum(len(one.lengths) for one in read(tmp_path)._shards[:-1])
    kept = indices(tmp_path)[in_shards:]
    shard.write_bytes(b"")
    lost = repair(tmp_path).num_lost
    assert indices(tmp_path) == [*range(in_shards - lost), *kept]
    verify(tmp_path)


def test_nothing_is_repaired_under_a_writer_or_without_a_manifest(tmp_path: Path):
    with DemonstrationWriter(tmp_path, OBSERVATION_SPEC, ACTION_SPEC), pytest.raises(StorageError, match="at work"):
        repair(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(StorageError, match=r"manifest\.json is damaged"):
        repair(tmp_path)
