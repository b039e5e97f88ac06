"""Directories of demonstrations: what is damaged is named, and what is not is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.recordings import ACTION_SPEC, OBSERVATION_SPEC, episode, episodes
from jaxdaw.data import DemonstrationWriter, Episode, read, verify
from jaxdaw.data.demonstrations._journal import encode
from jaxdaw.errors import JaxdawWarning, StorageError
from jaxdaw.specs import TensorSpec
from jaxdaw.storage import seal, unseal


def make(path: Path, close: bool = True) -> Path:
    writer = DemonstrationWriter(path, OBSERVATION_SPEC, ACTION_SPEC, shard_bytes=400)
    for one in episodes((3, 1, 4, 2, 5)):
        writer.add(one)
    if close:
        writer.close()
    else:
        writer._release()  # as if it had been killed
    return path


def edit(path: Path, **change: Any) -> None:
    contents = unseal(path.read_bytes())
    assert contents is not None
    path.write_bytes(seal({**contents, **change}))


def test_a_shard_is_an_archive_that_numpy_reads(tmp_path: Path):
    with DemonstrationWriter(tmp_path, OBSERVATION_SPEC, ACTION_SPEC) as writer:
        for one in episodes():
            writer.add(one)
    with np.load(tmp_path / "shard-000000.npz", allow_pickle=False) as archive:
        assert archive["observation_0"].shape == (10 + 4, 2)  # steps, and one more for each episode
        assert archive["action_0"].tolist() == [0, 1, 2, 0, 0, 1, 2, 0, 0, 1]
        assert archive["reward"].dtype == np.float32
        assert json.loads(bytes(archive["info"]))[3] == {"seed": 3}


def test_more_than_fits_into_memory_is_read(tmp_path: Path):
    shape = (256, 256)
    with DemonstrationWriter(tmp_path, TensorSpec(shape, "uint8"), ACTION_SPEC, shard_bytes=2**24) as writer:
        for index in range(6):
            writer.add(Episode(np.full((101, *shape), index, "uint8"), np.zeros(100, int)))
    script = """
import sys, resource
from jaxdaw.data import read
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = read(sys.argv[1])
assert [int(one.observation[50, 0, 0]) for one in found] == list(range(6))
print(found.num_steps, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    found = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    steps, megabytes = map(int, found.stdout.split())
    assert steps == 600
    assert megabytes < 20  # of 600 * 64 KiB = 38 MiB


@pytest.mark.parametrize("close", [True, False])
def test_every_flipped_byte_is_found_by_verify(tmp_path: Path, close: bool):
    directory = make(tmp_path / "d", close)
    verify(directory)
    generator = np.random.default_rng(0)
    for path in sorted(directory.iterdir()):
        whole = path.read_bytes()
        for position in generator.integers(len(whole), size=25):
            broken = bytearray(whole)
            broken[position] ^= 0x10
            path.write_bytes(broken)
            if path.suffix != ".json" or unseal_or_none(bytes(broken)) != unseal_or_none(whole):
                with pytest.raises(StorageError, match=path.name):
                    verify(directory)
        path.write_bytes(whole)
    verify(directory)


def unseal_or_none(text: bytes) -> Any:
    try:
        return unseal(text)
    except ValueError:
        return None


def test_a_truncated_shard_is_named_and_says_how_to_go_on(tmp_path: Path):
    directory = make(tmp_path / "d")
    shard = directory / "shard-000001.npz"
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(StorageError, match=r"shard-000001.npz is truncated or damaged(.|\n)*100 bytes(.|\n)*repair"):
        read(directory)
    with pytest.raises(StorageError, match=r"damaged in 1 files; 4 episodes are sound(.|\n)*shard-000001.npz"):
        verify(directory)


def test_a_missing_shard_is_named(tmp_path: Path):
    directory = make(tmp_path / "d")
    (directory / "shard-000000.npz").unlink()
    with pytest.raises(StorageError, match=r"cannot read .*shard-000000.npz"):
        read(directory)


@pytest.mark.parametrize("kept", [1, 40, 70, 200])
def test_an_unfinished_episode_is_told_and_the_others_are_read(tmp_path: Path, kept: int):
    writer = DemonstrationWriter(tmp_path, OBSERVATION_SPEC, ACTION_SPEC)
    writer.add(episode(0, 3))
    first = (tmp_path / "shard-000000.journal").stat().st_size
    writer.add(episode(1, 3))
    writer._release()
    os.truncate(tmp_path / "shard-000000.journal", first + kept)
    with pytest.warns(JaxdawWarning, match=rf"{kept} bytes of an unfinished record; 1 whole episodes are read"):
        assert len(read(tmp_path)) == 1
    with pytest.raises(StorageError, match="after 1 sound episodes"):
        verify(tmp_path)


def test_a_damaged_episode_within_a_journal_is_refused_with_the_last_good_one(tmp_path: Path):
    writer = DemonstrationWriter(tmp_path, OBSERVATION_SPEC, ACTION_SPEC)
    for index in range(3):
        writer.add(episode(index, 3))
    writer._release()
    path = tmp_path / "shard-000000.journal"
    contents = bytearray(path.read_bytes())
    contents[-len(encode(episode(2, 3))) - 1] ^= 1  # the last byte of episode 1
    path.write_bytes(contents)
    with pytest.raises(StorageError, match=r"does not match its digest; the last good one is episode 0 (.|\n)*repair"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, r"was written by format 2, this is 1(.|\n)*pip install -U jaxdaw"),
        ({"kind": "checkpoint"}, "a manifest of checkpoint"),
        ({"shards": [{"number": 0}]}, "damaged or something else"),
        ({"shards": [{"number": -1, "bytes": 1, "sha256": "", "lengths": [1], "flags": "0"}]}, "negative"),
        ({"shards": [{"number": 0, "bytes": 1, "sha256": "", "lengths": [-1], "flags": "0"}]}, "negative"),
        ({"shards": [{"number": 0, "bytes": 1, "sha256": "", "lengths": [1], "flags": "9"}]}, "flags"),
        ({"shards": [{"number": "../x", "bytes": 1, "sha256": "", "lengths": [1], "flags": "0"}]}, "damaged"),
        ({"observation_spec": {"spec": {"shape": [1], "dtype": "object", "name": None}}}, "damaged or something else"),
        ({"action_spec": {"code": "x"}}, "damaged or something else"),
    ],
)
def test_a_manifest_that_lies_is_refused(tmp_path: Path, change: dict[str, Any], message: str):
    directory = make(tmp_path / "d")
    edit(directory / "manifest.json", **change)
    with pytest.raises(StorageError, match=message):
        read(directory)


def test_a_manifest_that_promises_too_much_is_refused_before_memory_is_taken(tmp_path: Path):
    directory = make(tmp_path / "d")
    contents = unseal((directory / "manifest.json").read_bytes())
    assert contents is not None
    contents["shards"][0]["lengths"][0] = 10**15
    edit(directory / "manifest.json", shards=contents["shards"])
    with pytest.raises(StorageError, match=r"shard-000000.npz is truncated or damaged(.|\n)*observation_0"):
        read(directory)


@pytest.mark.parametrize("text", [b"", b"[]", b"\x80\x04K\x01.", b'{"a":' + b"[" * 100_000, b'{"a": 1, "a": 1}'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: bytes):
    (tmp_path / "manifest.json").write_bytes(text)
    with pytest.raises(StorageError, match=r"manifest.json is damaged or something else"):
        read(tmp_path)


def test_an_empty_directory_and_a_set_without_episodes_are_refused(tmp_path: Path):
    with pytest.raises(StorageError, match="holds no demonstrations"):
        read(tmp_path)
    DemonstrationWriter(tmp_path / "d", OBSERVATION_SPEC, ACTION_SPEC).close()
    with pytest.raises(StorageError, match="holds no episodes"):
        read(tmp_path / "d")


@pytest.mark.parametrize("name", ["observation_0", "action_0", "reward", "about"])
def test_read_compares_every_shard_with_its_digest_unless_told_otherwise(tmp_path: Path, name: str):
    with DemonstrationWriter(tmp_path, OBSERVATION_SPEC, ACTION_SPEC) as writer:
        writer.extend(episode(index, 9) for index in range(4))
    assert len(read(tmp_path)) == 4
    path = tmp_path / "shard-000000.npz"
    with np.load(path) as arrays:
        inside = arrays[name].tobytes()
    contents = path.read_bytes()
    at = contents.index(inside) + len(inside) // 2
    path.write_bytes(contents[:at] + bytes([contents[at] ^ 1]) + contents[at + 1 :])
    with pytest.raises(StorageError, match=r"shard-000000\.npz: sha256 (.|\n)*repair"):
        read(tmp_path)
    assert len(read(tmp_path, verify=False)) == 4
