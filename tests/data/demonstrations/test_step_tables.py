"""Tables: the csv module and pyarrow write what is read."""

from __future__ import annotations

import contextlib
import csv
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from jaxdaw.data import Demonstrations, check, read_demonstrations
from jaxdaw.errors import ConfigError, SpecError, StorageError
from jaxdaw.specs import BoundedTensorSpec

COLUMNS = {
    "observation": ["x", "v"],
    "action": "a",
    "reward": "r",
    "episode": "id",
    "terminated": "end",
    "truncated": "cut",
}
ROWS = {
    "id": ["p", "p", "q", "q", "q"],
    "x": [0.5, 1.5, 2.5, 3.5, 4.5],
    "v": [-1.0, -2.0, -3.0, -4.0, -5.0],
    "a": [0, 1, 1, 0, 2],
    "r": [1.0, 2.0, 4.0, 8.0, 16.0],
    "end": [False, True, False, False, False],
    "cut": [False, False, False, False, True],
}


def write_csv(path: Path, rows: dict[str, list[Any]], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(rows)
        writer.writerows(zip(*rows.values(), strict=True))
    return path


def write_parquet(path: Path, rows: dict[str, list[Any]]) -> Path:
    parquet.write_table(pyarrow.table(rows), path)
    return path


def assert_is_rows(found: Demonstrations) -> None:
    assert found.lengths.tolist() == [2, 3]
    assert [one.observation.tolist() for one in found] == [
        [[0.5, -1.0], [1.5, -2.0]],
        [[2.5, -3.0], [3.5, -4.0], [4.5, -5.0]],
    ]
    assert [one.action.tolist() for one in found] == [[0, 1], [1, 0, 2]]
    assert found.action_spec == BoundedTensorSpec((), np.int64, 0, 2)
    assert found[0].observation.dtype == np.float32
    assert (found.terminated.tolist(), found.truncated.tolist()) == ([True, False], [False, True])
    assert found.returns is not None
    assert found.returns.tolist() == [1 + 2, 4 + 8 + 16]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])  # the latter with a mark at the start
def test_csv_is_read(tmp_path: Path, delimiter: str, encoding: str):
    path = write_csv(tmp_path / "x.csv", ROWS, delimiter, encoding)
    assert_is_rows(read_demonstrations(path, columns=COLUMNS))


def test_parquet_is_read(tmp_path: Path):
    assert_is_rows(read_demonstrations(write_parquet(tmp_path / "x.pq", ROWS), columns=COLUMNS))


def test_columns_make_a_nest(tmp_path: Path):
    path = write_csv(tmp_path / "x.csv", ROWS)
    columns = {**COLUMNS, "observation": {"where": ["x"], "rest": ("v", ["x", "v"])}}
    observation = read_demonstrations(path, columns=columns)[0].observation
    assert observation["where"].tolist() == [[0.5], [1.5]]
    assert observation["rest"][0].tolist() == [-1, -2]
    assert observation["rest"][1].shape == (2, 2)


def test_flags_alone_cut_episodes(tmp_path: Path):
    columns = {name: column for name, column in COLUMNS.items() if name != "episode"}
    assert read_demonstrations(write_csv(tmp_path / "x.csv", ROWS), columns=columns).lengths.tolist() == [2, 3]
    without = {name: columns[name] for name in ("observation", "action")}
    with pytest.raises(SpecError, match=r"x\.csv: nothing says where episodes end"):
        read_demonstrations(tmp_path / "x.csv", columns=without)


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_what_is_not_finite_is_read_for_check(tmp_path: Path, write: Any):
    path = write(tmp_path / "x", {**ROWS, "x": [0.5, float("nan"), float("inf"), 1.0, 2.0]})
    (fault,) = check(read_demonstrations(path, columns=COLUMNS)).errors
    assert (fault.what, fault.count) == ("observation is not finite", 2)
    assert fault.places == ("episode 0 step 1", "episode 1 step 0")


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_what_float32_cannot_hold_is_read_for_check(tmp_path: Path, write: Any):
    path = write(tmp_path / "x", {**ROWS, "v": [1.0, 2.0, 3.0, 4.0, 1e300], "x": [1e300, 2.0, 3.0, 4.0, 5.0]})
    (fault,) = check(read_demonstrations(path, columns=COLUMNS)).errors
    assert (fault.what, fault.count) == ("observation does not fit float32", 2)


@pytest.mark.parametrize("cell", ["=1+1", "", "text", "1,5", "1_000", "0x10"])
def test_cells_that_are_no_numbers_are_told_with_their_rows(tmp_path: Path, cell: str):
    path = write_csv(tmp_path / "x.csv", {**ROWS, "v": [1.0, cell, 2.0, cell, 3.0]})
    with pytest.raises(StorageError, match=r"column 'v' holds something else than numbers in row 3, 5\n(.|\n)*1 more"):
        read_demonstrations(path, columns=COLUMNS)


def test_a_flag_that_is_none_is_told_with_its_row(tmp_path: Path):
    path = write_csv(tmp_path / "x.csv", {**ROWS, "end": ["false", "maybe", "", "0", "FALSE"]})
    with pytest.raises(StorageError, match=r"column 'end'.*row 3\n(.|\n)*maybe"):
        read_demonstrations(path, columns=COLUMNS)


@pytest.mark.parametrize(
    ("values", "message"),
    [(["a", "b", "c", "d", "e"], "a column of string"), ([1.0, None, 2.0, None, 3.0], "in row 2(.|\n)*2 empty cells")],
)
def test_parquet_columns_that_are_no_numbers_are_told(tmp_path: Path, values: list[Any], message: str):
    with pytest.raises(StorageError, match=message):
        read_demonstrations(write_parquet(tmp_path / "x.parquet", {**ROWS, "v": values}), columns=COLUMNS)


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_an_episode_that_comes_twice_is_refused_with_rows(tmp_path: Path, write: Any):
    path = write(tmp_path / "x", {**ROWS, "id": ["p", "q", "q", "p", "p"]})
    rows = "rows 2 and 5" if write is write_csv else "rows 1 and 4"  # the first row of a CSV file has the names
    with pytest.raises(StorageError, match=rf"episode 'p' of column 'id' goes on in row(.|\n)*{rows}"):
        read_demonstrations(path, columns=COLUMNS)


@pytest.mark.parametrize("kept", [0.9, 0.5])
def test_a_truncated_csv_is_told_with_its_row(tmp_path: Path, kept: float):
    path = write_csv(tmp_path / "x.csv", ROWS)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(StorageError, match=r"x\.csv is damaged in row \d+\n.*7 cells"):
        read_demonstrations(path, columns=COLUMNS)


@pytest.mark.parametrize("kept", [0.9, 0.5, 0.05])
def test_a_truncated_parquet_file_is_named(tmp_path: Path, kept: float):
    path = write_parquet(tmp_path / "x.parquet", ROWS)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(StorageError, match=r"x\.parquet is truncated or damaged"):
        read_demonstrations(path, columns=COLUMNS)


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_more_than_the_limit_is_refused(tmp_path: Path, write: Any):
    path = write(tmp_path / "x", {name: column * 100 for name, column in ROWS.items()})
    with pytest.raises(StorageError, match=r"more than may be read(.|\n)*at most 1,000 bytes"):
        read_demonstrations(path, columns=COLUMNS, limit_bytes=1000)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({**COLUMNS, "action": "b"}, "no 'b' among id, x, v, a"),
        ({**COLUMNS, "obs": "x"}, "columns do not say"),
        ({"observation": ["x"]}, "columns do not say"),
        ({**COLUMNS, "observation": [["x"], ["v"]]}, "holds something else"),
    ],
)
def test_columns_that_do_not_fit_are_refused(tmp_path: Path, columns: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        read_demonstrations(write_csv(tmp_path / "x.csv", ROWS), columns=columns)


def test_tables_without_rows_of_other_encodings_and_with_a_name_twice(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text("id,x,v,a,r,end,cut\n")
    with pytest.raises(StorageError, match="holds no rows"):
        read_demonstrations(path, columns=COLUMNS)
    path.write_bytes("id,x\nä,1\n".encode("latin1"))
    with pytest.raises(StorageError, match=r"in row 2(.|\n)*iconv -f latin1"):
        read_demonstrations(path, columns=COLUMNS)
    path.write_text("x,x,a\n1,2,3\n")
    with pytest.raises(ConfigError, match="'x' twice"):
        read_demonstrations(path, columns={"observation": ["x"], "action": "a"})


def test_the_extra_is_named_when_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_parquet(tmp_path / "x.parquet", ROWS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxdaw\[parquet\]'"):
        read_demonstrations(path, columns=COLUMNS)


CELLS = st.sampled_from(
    ["0", "1", "2.5", "-1", "", "x", "nan", "inf", "9" * 400, "-" + "9" * 25, "true", '"', "\0", "é"]
)


@given(st.lists(st.lists(CELLS, min_size=5, max_size=6), max_size=4))
def test_no_csv_file_raises_anything_but_typed_errors(rows):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x.csv"
        path.write_text("x,v,a,r,id\n" + "".join(",".join(row) + "\n" for row in rows), encoding="utf-8")
        columns = {"observation": ["x", "v"], "action": "a", "reward": "r", "episode": "id"}
        with contextlib.suppress(StorageError, SpecError):
            read_demonstrations(path, columns=columns)


def test_integers_of_more_than_64_bits_are_floats(tmp_path: Path):
    (tmp_path / "x.csv").write_text("x,a,id\n9223372036854775808,0,p\n1,1,q\n")
    found = read_demonstrations(tmp_path / "x.csv", columns={"observation": "x", "action": "a", "episode": "id"})
    assert found[0].observation.tolist() == [2.0**63]
