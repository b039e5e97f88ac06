"""The writer of logs: what was flushed is there, whatever happens to the process."""

import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from data.logs import log, same
from jaxdaw import specs
from jaxdaw.data import Decisions, DecisionWriter, read_decisions
from jaxdaw.errors import ConfigError, SpecError, StorageError

SPEC = specs.TensorSpec((3,), "float32")


def named(rows, **columns):
    return log(rows, decision_id=[f"{i}" for i in range(rows)], eligible=np.ones((rows, 4), bool), **columns)


@pytest.mark.parametrize("file_format", ["parquet", "jsonl"])
@pytest.mark.parametrize("part_rows", [1000, 7])
def test_what_was_added_is_read_back(tmp_path, file_format, part_rows):
    wanted = named(40, time=np.arange(40.0), policy_version=["v1"] * 40, reward=np.full(40, np.nan))
    with DecisionWriter(tmp_path / "d", 4, SPEC, file_format=file_format, part_rows=part_rows) as writer:
        for start in range(0, 40, 5):
            writer.extend(wanted.select(slice(start, start + 5)))
        for index in range(40):
            writer.add_outcome(str(index), index / 4, time=index + 1.0)
    found = read_decisions(tmp_path / "d")
    assert found.reward.tolist() == [index / 4 for index in range(40)]
    assert found.outcomes.joined == 40
    same(found.replace(reward=wanted.reward), wanted)


def test_threads_share_a_writer_and_each_decision_is_there_once(tmp_path):
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with (
            DecisionWriter(tmp_path / "d", 2, file_format="jsonl", part_rows=37) as writer,
            ThreadPoolExecutor(4) as pool,
        ):

            def add(index: int) -> None:
                writer.add(index % 2, probability=0.5, decision_id=str(index))
                writer.add_outcome(str(index), index / 8)
                if index % 100 == 0:
                    writer.flush()

            list(pool.map(add, range(600)))
    finally:
        sys.setswitchinterval(interval)
    found = read_decisions(tmp_path / "d")
    assert sorted(map(int, found.decision_id.tolist())) == list(range(600))
    assert all(reward == int(made) / 8 for made, reward in zip(found.decision_id, found.reward, strict=True))


@pytest.mark.parametrize("file_format", ["parquet", "jsonl"])
def test_nests_and_arm_features_come_back(tmp_path, file_format):
    context_spec = {"b": specs.TensorSpec((2, 2), "int32"), "a": (specs.TensorSpec((), "float32"),)}
    features_spec = {"price": specs.TensorSpec((), "float32"), "kind": specs.TensorSpec((2,), "int8")}
    with DecisionWriter(
        tmp_path / "d", 3, context_spec, arm_features_spec=features_spec, file_format=file_format
    ) as writer:
        for index in range(3):
            writer.add(
                index,
                context={"b": np.full((2, 2), index, "int32"), "a": (np.float32(index / 2),)},
                arm_features={"price": np.arange(3, dtype="float32"), "kind": np.ones((3, 2), "int8")},
                probabilities=[0.2, 0.3, 0.5],
                reward=1.0,
            )
    found = read_decisions(tmp_path / "d")
    assert found.context_spec == context_spec
    assert found.arm_features_spec == features_spec
    assert found.context["a"][0].tolist() == [0, 0.5, 1]
    assert found.arm_features["price"].tolist() == [[0, 1, 2]] * 3
    assert found.probability.tolist() == [0.2, 0.3, 0.5]


def test_a_directory_is_continued_and_has_one_writer(tmp_path):
    for index in range(3):
        with DecisionWriter(tmp_path, 2, file_format="jsonl") as writer:
            writer.add(0, probability=0.5, decision_id=str(index), reward=1.0)
            with pytest.raises(StorageError, match="another writer"):
                DecisionWriter(tmp_path, 2)
    assert read_decisions(tmp_path).decision_id.tolist() == ["0", "1", "2"]
    with pytest.raises(StorageError, match="another num_arms"):
        DecisionWriter(tmp_path, 3)
    with pytest.raises(StorageError, match="the writer is closed"):
        writer.add(0, probability=0.5)
    (tmp_path / "log.json").unlink()
    with pytest.raises(StorageError, match="something else than a log"):
        DecisionWriter(tmp_path, 2)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"action": 2}, "chosen arms that do not exist"),
        ({"action": -1}, "chosen arms that do not exist"),
        ({"probability": 0.0}, r"outside \(0, 1\]"),
        ({"probability": None}, "not logged"),
        ({"probability": None, "probabilities": [0.5, 0.6]}, "add up to 1"),
        ({"eligible": [False, True]}, "not eligible"),
        ({"context": np.zeros(2, "float32")}, "context"),
        ({"context": np.full(3, np.nan, "float32")}, "NaN or infinity"),
        ({"context": {"x": np.zeros(3, "float32")}}, "context"),
    ],
)
def test_a_decision_that_cannot_have_been_made_is_refused_and_not_kept(tmp_path, options, text):
    sound = {"action": 0, "context": np.zeros(3, "float32"), "probability": 0.5}
    with DecisionWriter(tmp_path, 2, SPEC) as writer:
        with pytest.raises(SpecError, match=text):
            writer.add(**sound | options)
        with pytest.raises(SpecError, match="not finite"):
            writer.add_outcome("x", np.nan)
        writer.add(**sound)
    assert len(read_decisions(tmp_path)) == 1


def test_options_outside_their_ranges_are_refused(tmp_path):
    for options in ({"num_arms": 0}, {"num_arms": 2, "part_rows": 0}, {"num_arms": 2, "file_format": "csv"}):
        with pytest.raises(ConfigError, match="outside its range"):
            DecisionWriter(tmp_path / "d", **options)
    with DecisionWriter(tmp_path / "e", 2) as writer, pytest.raises(SpecError, match="no ids"):
        writer.extend(Decisions([0], probability=[0.5], num_arms=2))


def test_a_full_disk_loses_nothing_that_was_flushed_and_what_was_not_is_flushed_again(tmp_path, monkeypatch):
    writer = DecisionWriter(tmp_path, 2, file_format="jsonl")
    writer.add(0, probability=0.5, reward=1.0)
    writer.flush()
    writer.add(1, probability=0.5, reward=1.0)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            writer.flush()
    assert read_decisions(tmp_path).action.tolist() == [0]
    writer.close()
    assert read_decisions(tmp_path).action.tolist() == [0, 1]


@pytest.mark.parametrize("damage", [b"{", b'{"format": 1}', b"\x80\x04"])
def test_a_damaged_manifest_is_told(tmp_path, damage):
    DecisionWriter(tmp_path, 2).close()
    (tmp_path / "log.json").write_bytes(damage)
    with pytest.raises(StorageError, match=r"log\.json is damaged"):
        read_decisions(tmp_path)


@pytest.mark.parametrize("file_format", ["parquet", "jsonl"])
def test_a_killed_writer_loses_at_most_what_was_not_flushed(tmp_path, file_format):
    script = Path(__file__).parent / "killing_log.py"
    source = str(Path(__file__).parents[2] / "src")
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, str(script), str(tmp_path / "log"), file_format],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": source},
        )
        assert process.stdout is not None
        flushed = int(process.stdout.readline())  # the parts are made as fast as the disk allows from here on
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split(b"\n")[:-1]
        process.stdout.close()
        process.wait()
        flushed = int(rest[-1]) if rest else flushed
        found = read_decisions(tmp_path / "log")
        assert flushed <= len(found) <= flushed + 10  # a part may be there that was not yet told
        assert found.decision_id.tolist() == [str(index) for index in range(len(found))]
        assert found.outcomes.unknown == found.outcomes.pending == 0
