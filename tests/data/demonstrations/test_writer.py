"""The writer: what was added is there, whatever happens to the process."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.recordings import ACTION_SPEC, OBSERVATION_SPEC, episode, episodes
from jaxdaw.data import DemonstrationWriter, Episode, read, verify
from jaxdaw.errors import SpecError, StorageError
from jaxdaw.specs import BoundedTensorSpec, TensorSpec


def open_writer(path: Path, **options: Any) -> DemonstrationWriter:
    return DemonstrationWriter(path, OBSERVATION_SPEC, ACTION_SPEC, **options)


def assert_same(found: Any, wanted: Any) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.observation, other.observation)
        np.testing.assert_array_equal(one.action, other.action)
        np.testing.assert_array_equal(one.reward, other.reward)
        assert (one.terminated, one.truncated, one.info) == (other.terminated, other.truncated, other.info)


@pytest.mark.parametrize("shard_bytes", [2**20, 400])  # one shard, several
def test_what_was_added_is_read_back(tmp_path: Path, shard_bytes: int):
    wanted = [*episodes(), episode(4, 2, last=False)]
    with open_writer(tmp_path / "d", metadata={"environment": "é"}, shard_bytes=shard_bytes) as writer:
        for one in wanted:
            writer.add(one)
    found = read(tmp_path / "d")
    assert_same(found, wanted)
    assert found.metadata == {"environment": "é"}
    assert (found.observation_spec, found.action_spec) == (OBSERVATION_SPEC, ACTION_SPEC)
    assert not list((tmp_path / "d").glob("*.journal"))
    verify(tmp_path / "d")


def test_episodes_are_read_while_the_writer_is_open(tmp_path: Path):
    writer = open_writer(tmp_path)
    writer.add(episode(0, 3))
    assert_same(read(tmp_path), [episode(0, 3)])
    writer.add(episode(1, 2))
    assert_same(read(tmp_path), [episode(0, 3), episode(1, 2)])
    verify(tmp_path)
    writer.close()
    writer.close()
    with pytest.raises(StorageError, match="the writer is closed"):
        writer.add(episode(0, 3))


def test_a_closed_directory_is_continued(tmp_path: Path):
    for index in range(3):
        with open_writer(tmp_path, metadata={"round": index}) as writer:
            assert writer.num_episodes == index
            writer.add(episode(index, 3))
    assert_same(read(tmp_path), [episode(index, 3) for index in range(3)])
    assert read(tmp_path).metadata == {"round": 2}


def test_nests_and_bfloat16_come_back(tmp_path: Path):
    observation = {"b": np.ones((3, 2), "uint8"), "a": (np.arange(3.0).astype("bfloat16"),)}
    spec = {"a": (TensorSpec((), "bfloat16"),), "b": BoundedTensorSpec((2,), "uint8", 0, 255)}
    with DemonstrationWriter(tmp_path, spec, ACTION_SPEC) as writer:
        writer.add(Episode(observation, np.array([0, 1])))
    found = read(tmp_path)[0].observation
    assert found["a"][0].dtype == np.dtype("bfloat16")
    assert found["a"][0].astype(float).tolist() == [0, 1, 2]
    assert found["b"].tolist() == [[1, 1]] * 3


@pytest.mark.parametrize("shard_bytes", [2**20, 5000])  # killed while it adds; also while it starts shards
def test_a_killed_writer_loses_nothing_that_it_added(tmp_path: Path, shard_bytes: int):
    script = Path(__file__).with_name("killing.py")
    generator = np.random.default_rng(0)
    told = 0
    for _ in range(3):
        command = [sys.executable, str(script), str(tmp_path), str(shard_bytes)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            first = child.stdout.readline()
            time.sleep(generator.uniform(0.01, 0.3))
            child.send_signal(signal.SIGKILL)
            lines = [first, *child.stdout.read().split("\n")[:-1]]
        assert int(first) == told + 1  # it goes on where the one before it was killed
        told = int(lines[-1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the episode in progress
            found = read(tmp_path)
        assert told <= len(found) <= told + 1
        assert_same(found, [episode(index, 50, terminated=True) for index in range(len(found))])
        assert len(list(tmp_path.glob("*.journal"))) <= 2
        told = len(found)


def test_adding_half_an_hour_of_cartpole_takes_seconds(tmp_path: Path):
    cartpole = Episode(np.zeros((501, 4), "float32"), np.zeros(500, int), np.ones(500), truncated=True)
    times = []
    with DemonstrationWriter(tmp_path, TensorSpec((4,), "float32"), ACTION_SPEC) as writer:
        for _ in range(40):
            start = time.process_time()
            writer.add(cartpole)
            times.append(time.process_time() - start)
    assert np.median(times) < 0.005  # of this process, which does not wait for the disk


def test_an_episode_is_synced_in_the_background_and_flush_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    may_go, real = threading.Event(), os.fsync
    with open_writer(tmp_path) as writer:
        synced: list[int] = []

        def slow(descriptor: int) -> None:
            may_go.wait(10)
            synced.append(os.fstat(descriptor).st_size)
            real(descriptor)

        monkeypatch.setattr(os, "fsync", slow)
        for index in range(5):
            writer.add(episode(index, 3))  # not held up by the disk
        assert not synced
        size = (tmp_path / "shard-000000.journal").stat().st_size
        may_go.set()
        writer.flush()
        assert synced[-1] == size
        assert len(synced) <= 3  # one at work, one for all that came meanwhile, and that of flush
        assert_same(read(tmp_path), [episode(index, 3) for index in range(5)])


@pytest.mark.parametrize("then", ["add", "flush", "close"])
def test_a_disk_that_fails_in_the_background_is_told_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str
):
    writer = open_writer(tmp_path)

    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        writer.add(episode(0, 3))
        wait([writer._sync] if writer._sync else [])
    with pytest.raises(StorageError, match="Input/output error"):
        writer.add(episode(1, 3)) if then == "add" else getattr(writer, then)()
    writer.close()
    assert_same(read(tmp_path), [episode(0, 3)])


def test_a_full_disk_keeps_what_was_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    writer = open_writer(tmp_path)
    writer.add(episode(0, 3))
    real = os.write

    def half(descriptor: int, contents: Any) -> int:
        real(descriptor, contents[: len(contents) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(StorageError, match=r"No space left on device; what was added stays(.|\n)*bytes free"):
            writer.add(episode(1, 3))
    assert_same(read(tmp_path), [episode(0, 3)])
    writer.add(episode(2, 3))
    writer.close()
    assert_same(read(tmp_path), [episode(0, 3), episode(2, 3)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"action": np.array([0, 1, 3])}, r"action does not match its spec(.|\n)*\[0, 2\]"),
        ({"action": np.array([0.0, 1.0, 2.0])}, "the dtype of action cannot become"),
        ({"observation": np.zeros((6, 2), "float32")}, "observation and action do not fit together"),
        ({"observation": np.zeros((4, 3), "float32")}, "observation does not match its spec"),
        (
            {"observation": np.full((4, 2), 1e300)},
            r"8 values of observation(.|\n)*1e\+300 at \[0, 0\]",
        ),
        ({"reward": np.zeros(4)}, r"reward and action do not fit(.|\n)*reward\[1:\]"),
        ({"reward": None}, "rewards are in all episodes or in none"),
        ({"info": {"x": float("nan")}}, "JSON"),
    ],
)
def test_an_episode_that_does_not_fit_leaves_the_directory_as_it_was(
    tmp_path: Path, change: dict[str, Any], message: str
):
    with open_writer(tmp_path) as writer:
        writer.add(episode(0, 3))
        with pytest.raises((SpecError, ValueError), match=message):
            writer.add(dataclasses.replace(episode(1, 3), **change))
    assert_same(read(tmp_path), [episode(0, 3)])


def test_a_second_writer_is_refused(tmp_path: Path):
    with open_writer(tmp_path), pytest.raises(StorageError, match="in use by another writer"):
        open_writer(tmp_path)
    open_writer(tmp_path).close()


def test_other_specs_and_other_files_are_refused(tmp_path: Path):
    open_writer(tmp_path / "d").close()
    with pytest.raises(StorageError, match="demonstrations of another action_spec"):
        DemonstrationWriter(tmp_path / "d", OBSERVATION_SPEC, TensorSpec((), "int64"))
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "thesis.tex").write_text("x")
    with pytest.raises(StorageError, match=r"holds something else(.|\n)*thesis\.tex"):
        open_writer(tmp_path / "e")
    with pytest.raises(StorageError, match="cannot lock"):
        open_writer(tmp_path / "e" / "thesis.tex")


def test_a_journal_that_was_cut_short_is_not_continued(tmp_path: Path):
    open_writer(tmp_path).close()
    (tmp_path / "shard-000000.journal").write_bytes(b"JDEP")
    with pytest.raises(StorageError, match=r"is damaged(.|\n)*repair"):
        open_writer(tmp_path)


def test_an_episode_of_the_other_byte_order_is_read_as_the_same_numbers(tmp_path):
    observations, actions = np.arange(8.0).reshape(4, 2), np.array([0, 1, 1])
    other = Episode(observations.astype(">f4"), actions.astype(">i4"), np.ones(3, ">f4"), terminated=True)
    with DemonstrationWriter(tmp_path, TensorSpec((2,), "float32"), BoundedTensorSpec((), "int32", 0, 1)) as writer:
        writer.add(other)
    (found,) = read(tmp_path)
    np.testing.assert_array_equal(found.observation, observations)
    np.testing.assert_array_equal(found.action, actions)
    assert found.observation.dtype.isnative
