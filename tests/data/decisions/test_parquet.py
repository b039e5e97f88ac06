"""Parquet logs from anybody: what they unpack to, and what their columns are called."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from data.logs import log, same
from jaxdaw.data import DecisionWriter, OutcomeTable, read_decisions
from jaxdaw.data.decisions._jsonl import Shape
from jaxdaw.data.decisions._parquet import read_parquet, write_parquet_decisions, write_parquet_outcomes
from jaxdaw.errors import SpecError, StorageError
from jaxdaw.specs import TensorSpec
from jaxdaw.storage import seal, unseal


def written(path: Path, columns: dict, metadata: dict | None = None) -> Path:
    table = pa.table(columns)
    if metadata is not None:
        table = table.replace_schema_metadata({b"jaxdaw": json.dumps(metadata)})
    parquet.write_table(table, path)
    return path


def test_every_column_comes_back(tmp_path: Path):
    decisions = log(
        50,
        time=np.arange(50.0),
        eligible=np.ones((50, 4), bool),
        policy_version=["é"] * 50,
        decision_id=[f"{i:040d}" for i in range(50)],
    )
    with (tmp_path / "log").open("wb") as file:
        write_parquet_decisions(file, decisions)
    found = read_decisions(tmp_path / "log")
    same(found, decisions)


def test_outcomes_come_back(tmp_path: Path):
    table = OutcomeTable(np.array(["a", "b"]), np.array([1.0, 2.0]), np.array([5.0, 6.0]))
    with (tmp_path / "outcomes").open("wb") as file:
        write_parquet_outcomes(file, table)
    _, found = read_parquet(tmp_path / "outcomes", Shape(), 10**9)
    for one, other in zip(found, table, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"action": [0], "propensity": [0.5]}, "unknown columns(.|\n)*name it 'probability' if 'propensity' is with"),
        ({"action": [0], "weather": [1]}, "unknown columns(.|\n)*leave them out"),
        ({"action": [0], "probabilities": [0.5]}, "a list with one entry an arm"),
        ({"action": [0], "eligible": [True]}, "a list with one entry an arm"),
        ({"decision_id": ["a"], "reward": [1.0], "action_": [0]}, "unknown columns"),
    ],
)
def test_columns_that_mean_nothing_are_refused(tmp_path: Path, columns: dict, message: str):
    with pytest.raises(StorageError, match=message):
        read_decisions(written(tmp_path / "log", columns))


def test_what_unpacks_to_far_more_than_the_file_is_refused(tmp_path: Path):
    rows = 20_000
    zeros = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(rows * 1000)), 1000)
    path = written(tmp_path / "zeros", {"action": np.zeros(rows, np.int64), "probabilities": zeros})
    assert path.stat().st_size < 100_000
    with pytest.raises(StorageError, match=r"would take 160,[0-9,]+ bytes in memory"):  # 8 * 1,000 * 20,000, and ids
        read_decisions(path)
    ids = pa.array(["x" * 100_000] * rows).dictionary_encode()
    path = written(tmp_path / "ids", {"action": np.zeros(rows, np.int64), "policy_version": ids})
    assert path.stat().st_size < 500_000
    with pytest.raises(StorageError, match=r"would take 2,000,[0-9,]+ bytes in memory"):
        read_decisions(path)


def test_one_long_text_does_not_widen_the_others(tmp_path: Path):
    ids = ["x" * 1_000_000, *(str(i) for i in range(400))]
    path = written(tmp_path / "log", {"action": np.zeros(401, np.int64), "decision_id": ids})
    assert read_decisions(path).decision_id[-1] == "399"


METADATA = {
    "num_arms": 2,
    "context": {"spec": {"shape": [2], "dtype": "float32", "name": None}},
    "arm_features": {"tuple": []},
}


@pytest.mark.parametrize(
    "change",
    [
        {"num_arms": -1},
        {"num_arms": "2"},
        {"num_arms": 10**30},
        {"context": 7},
        {"context": {"spec": {}}},
        {"context": {"spec": {"shape": [2**31, 2**33], "dtype": "float32", "name": None}}},
        {"context": {"spec": {"shape": [3], "dtype": "float32", "name": None}}},
        {"arm_features": {"spec": {"shape": [], "dtype": "float32", "name": None}}},
        {"arm_features": []},
    ],
)
def test_metadata_that_do_not_fit_are_refused(tmp_path: Path, change: dict):
    columns = {"action": [0, 1], "context": pa.FixedSizeListArray.from_arrays(pa.array([1.0, 2.0, 3.0, 4.0]), 2)}
    assert read_decisions(written(tmp_path / "log", columns, METADATA)).context.shape == (2, 2)
    with pytest.raises(StorageError, match=r"log is truncated or damaged"):
        read_decisions(written(tmp_path / "log", columns, METADATA | change))


def test_damaged_pages_are_found(tmp_path: Path):
    with DecisionWriter(tmp_path / "log", 4, TensorSpec((3,), "float32")) as writer:
        writer.extend(log(2000, decision_id=[str(i) for i in range(2000)]))
    (part,) = (tmp_path / "log").glob("*.parquet")
    contents = bytearray(part.read_bytes())
    found = 0
    for place in range(100, len(contents) // 2, len(contents) // 40):
        broken = bytearray(contents)
        broken[place] ^= 1
        part.write_bytes(broken)
        try:
            read_decisions(tmp_path / "log")
        except StorageError:
            found += 1
    assert found >= 18


@settings(derandomize=True)  # one file that was damaged at random made Arrow abort the process, which ends the tests
@given(st.data())
def test_damage_at_any_place_is_a_typed_error(drawn):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "log"
        with path.open("wb") as file:
            write_parquet_decisions(file, log(20))
        contents = bytearray(path.read_bytes())
        for _ in range(drawn.draw(st.integers(1, 4))):
            place = drawn.draw(st.integers(4, len(contents) - 1))
            contents[place] = drawn.draw(st.sampled_from([0, 1, 7, 0x7F, 0x80, 0xFF]))
        path.write_bytes(contents)
        with contextlib.suppress(StorageError, SpecError):
            read_decisions(path)


@pytest.mark.parametrize(
    "change",
    [{"num_arms": 10**9}, {"num_arms": True}, {"context_spec": []}, {"metadata": 3}, {"kind": 1}, {"format": None}],
)
def test_the_manifest_of_a_log_with_wrong_contents_is_named(tmp_path: Path, change: dict):
    DecisionWriter(tmp_path / "log", 4, TensorSpec((3,), "float32")).close()
    path = tmp_path / "log" / "log.json"
    contents = unseal(path.read_bytes())
    assert contents is not None
    path.write_bytes(seal(contents | change))
    with pytest.raises(StorageError, match=r"log\.json"):
        read_decisions(tmp_path / "log")
