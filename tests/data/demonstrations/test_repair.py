"""repair keeps what is sound: which episodes those are is known from where the damage was done."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from data.recordings import ACTION_SPEC, OBSERVATION_SPEC, episode, episodes
from jaxdaw.data import DemonstrationWriter, read, read_demonstrations, repair, verify
from jaxdaw.data.demonstrations._journal import encode
from jaxdaw.errors import StorageError
from jaxdaw.storage import seal, unseal


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
    contents[-len(encode(episode(3, 3))) - 1] ^= 1  # the last byte of episode 2
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


def test_nothing_is_repaired_under_a_writer(tmp_path: Path):
    with (
        DemonstrationWriter(tmp_path, OBSERVATION_SPEC, ACTION_SPEC),
        pytest.raises(StorageError, match="in use by another writer"),
    ):
        repair(tmp_path)


DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "flip": lambda path: flip(path, len(path.read_bytes()) // 2),
    "remove": lambda path: path.unlink(),
    "replace": lambda path: path.write_text('{"kind": "something else"}'),
}


def flip(path: Path, position: int) -> None:
    contents = bytearray(path.read_bytes())
    contents[position] ^= 1
    path.write_bytes(contents)


def contents_of(path: Path) -> list[tuple]:
    return [
        (one.observation.tolist(), one.action.tolist(), one.reward.tolist(), one.terminated, one.truncated, one.info)
        for one in read(path)
    ]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("close", [True, False], ids=["closed", "killed"])
def test_a_truncated_flipped_or_missing_manifest_is_written_anew(tmp_path: Path, damage: str, close: bool):
    with DemonstrationWriter(
        tmp_path, OBSERVATION_SPEC, ACTION_SPEC, metadata={"by": "me"}, shard_bytes=1_200
    ) as writer:
        writer.extend(episodes((3, 1, 4, 2, 6, 5)))
        if not close:
            writer._release()  # as if it had been killed: the last episodes are in the journal
    assert len(read(tmp_path)._shards) > 2
    before, manifest = contents_of(tmp_path), tmp_path / "manifest.json"
    sound = manifest.read_bytes()
    DAMAGES[damage](manifest)
    damaged = None if damage == "remove" else manifest.read_bytes()
    for refused in (read, verify, read_demonstrations):
        with pytest.raises(StorageError, match=r"(.|\n)*jaxdaw\.data\.repair\("):
            refused(tmp_path)
    with pytest.raises(StorageError, match=r"(.|\n)*jaxdaw\.data\.repair\("):
        DemonstrationWriter(tmp_path, OBSERVATION_SPEC, ACTION_SPEC)
    done = repair(tmp_path)
    assert (done.num_episodes, done.num_lost) == (6, 0)
    assert done.problems[0].startswith("manifest.json: ")
    assert [path.read_bytes() for path in done.aside] == ([] if damaged is None else [damaged])
    assert manifest.read_bytes() == sound
    assert contents_of(tmp_path) == before
    assert read(tmp_path).metadata == {"by": "me"}
    verify(tmp_path)
    with DemonstrationWriter(tmp_path, OBSERVATION_SPEC, ACTION_SPEC) as writer:
        writer.add(episode(7, 2))
    assert indices(tmp_path) == [0, 1, 2, 3, 4, 5, 7]


def test_a_journal_alone_tells_the_manifest(tmp_path: Path):
    make(tmp_path, 3, close=False)
    (tmp_path / "manifest.json").unlink()
    assert repair(tmp_path)[:2] == (3, 0)
    assert indices(tmp_path) == [0, 1, 2]


@pytest.mark.parametrize("which", [0, 1, -1])
@pytest.mark.parametrize("position", [70, -200, 0.5], ids=["start", "end", "middle"])
def test_a_damaged_shard_without_a_manifest_is_told_by_its_checksums(tmp_path: Path, which: int, position: float):
    make(tmp_path, 6, shard_bytes=1_200)
    sizes = [len(one.lengths) for one in read(tmp_path)._shards]
    assert len(sizes) > 2
    shard = sorted(tmp_path.glob("*.npz"))[which]
    flip(shard, int(position if isinstance(position, int) else position * shard.stat().st_size))
    (tmp_path / "manifest.json").unlink()
    kept = dict(zip(range(6), np.repeat(range(len(sizes)), sizes), strict=True))
    done = repair(tmp_path)
    assert indices(tmp_path) == [index for index, of in kept.items() if of != which % len(sizes)]
    assert [path.name for path in done.aside] == [f"{shard.name}.damaged-1"]
    assert any(shard.name in problem for problem in done.problems)
    verify(tmp_path)


def test_a_shard_that_was_written_when_the_process_died_is_not_there_twice(tmp_path: Path):
    make(tmp_path / "one", 3, close=False)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    DemonstrationWriter(tmp_path / "two", OBSERVATION_SPEC, ACTION_SPEC).close()
    name = "shard-000000.npz"
    shutil.copy(tmp_path / "two" / name, tmp_path / "one" / name)  # as it is between shard and manifest
    shutil.copytree(tmp_path / "one", tmp_path / "three")
    with DemonstrationWriter(tmp_path / "three", OBSERVATION_SPEC, ACTION_SPEC) as writer:  # another one goes on
        writer.add(episode(3, 3))
        writer._release()
    for directory, count in (("one", 3), ("three", 4)):
        (tmp_path / directory / "manifest.json").unlink()
        done = repair(tmp_path / directory)
        assert (done.num_episodes, done.num_lost, len(done.aside)) == (count, 0, 1)
        assert indices(tmp_path / directory) == list(range(count))


def test_nothing_is_written_where_no_manifest_can_be(tmp_path: Path):
    np.savez(tmp_path / "shard-000000.npz", observation_0=np.zeros(3))
    with pytest.raises(StorageError, match="is missing"):
        repair(tmp_path)
    (tmp_path / "shard-000000.npz").unlink()
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(StorageError, match="no shards that it could be written anew from"):
        repair(tmp_path)
    with pytest.raises(StorageError, match="holds no demonstrations"):
        repair(tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_a_manifest_of_a_newer_format_is_not_damage(tmp_path: Path):
    make(tmp_path, 2)
    contents = unseal((tmp_path / "manifest.json").read_bytes())
    (tmp_path / "manifest.json").write_bytes(seal({**contents, "format": 9}))
    with pytest.raises(StorageError, match="written by format 9"):
        repair(tmp_path)
