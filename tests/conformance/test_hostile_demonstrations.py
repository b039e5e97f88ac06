"""Bad files, one after the other, into `jaxdaw train bc`: each is refused in words, with its rows, before any training.

Each file is made sound, then broken in one way, so that what is refused is that.
"""

from __future__ import annotations

import gzip
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxdaw import training
from jaxdaw.cli import main
from jaxdaw.data import DemonstrationWriter, Episode
from jaxdaw.specs import BoundedTensorSpec, TensorSpec

COLUMNS = {"observation": ["p", "v", "q", "w"], "action": "a", "reward": "r", "episode": "id", "terminated": "end"}
STEPS = 20


def table(change: Callable[[list[list[Any]]], Any] = lambda rows: None) -> str:
    """Returns a CSV of CartPole: two episodes of 20 steps, in rows 2 to 41."""
    random = np.random.default_rng(0)
    rows: list[list[Any]] = [["p", "v", "q", "w", "a", "r", "id", "end"]]
    for episode in range(2):
        for step in range(STEPS):
            rows.append([*random.normal(size=4).round(3), step % 2, 1.0, episode, int(step == STEPS - 1)])
    changed = change(rows)
    return "\n".join(",".join(map(str, row)) for row in (rows if changed is None else changed))


def put(row: int, column: int, value: Any) -> Callable[[list[list[Any]]], None]:
    """Returns what writes a value into a row, counted as in an editor, and those 20 below."""

    def change(rows: list[list[Any]]) -> None:
        for place in (row - 1, row - 1 + STEPS):
            rows[place][column] = value

    return change


def column(index: int, value: Any) -> Callable[[list[list[Any]]], None]:
    def change(rows: list[list[Any]]) -> None:
        for row in rows[1:]:
            row[index] = value

    return change


def csv(change: Any = lambda rows: None, prefix: bytes = b"") -> Callable[[Path], Path]:
    def write(place: Path) -> Path:
        (place / "x.csv").write_bytes(prefix + table(change).encode())
        return place / "x.csv"

    return write


def parquet(keep: float = 1.0, **change: Any) -> Callable[[Path], Path]:
    def write(place: Path) -> Path:
        import pyarrow
        from pyarrow import parquet

        names, *rows = [line.split(",") for line in table().splitlines()]
        arrays = {name: np.array([float(row[i]) for row in rows]) for i, name in enumerate(names)}
        arrays |= {"a": arrays["a"].astype(int), "end": arrays["end"].astype(bool), **change}
        parquet.write_table(pyarrow.table(arrays), place / "x.parquet")
        whole = (place / "x.parquet").read_bytes()
        (place / "x.parquet").write_bytes(whole[: int(keep * len(whole))])
        return place / "x.parquet"

    return write


def rollouts(keep: float = 1.0, **change: Any) -> Callable[[Path], Path]:
    def write(place: Path) -> Path:
        random = np.random.default_rng(0)
        arrays = {
            "obs": random.normal(size=(2 * STEPS + 2, 4)).astype(np.float32),
            "acts": np.arange(2 * STEPS) % 2,
            "rews": np.ones(2 * STEPS),
            "terminal": np.array([True, True]),
            "indices": np.array([STEPS]),
            **change,
        }
        np.savez(place / "x.npz", **arrays)
        whole = (place / "x.npz").read_bytes()
        (place / "x.npz").write_bytes(whole[: int(keep * len(whole))])
        return place / "x.npz"

    return write


def directory(
    damage: Callable[[Path], Any] = lambda path: None, size: int = 4, **change: Any
) -> Callable[[Path], Path]:
    def write(place: Path) -> Path:
        random = np.random.default_rng(0)
        action_spec = BoundedTensorSpec((), np.int64, 0, 9)
        with DemonstrationWriter(place / "d", TensorSpec((size,), np.float32), action_spec) as writer:
            for _ in range(2):
                observation = random.normal(size=(STEPS + 1, size)).astype(np.float32)
                parts = {"reward": np.ones(STEPS), "terminated": True, "action": np.arange(STEPS) % 2, **change}
                writer.add(Episode(observation, **parts))
        damage(place / "d")
        return place / "d"

    return write


def raw(contents: bytes) -> Callable[[Path], Path]:
    def write(place: Path) -> Path:
        (place / "x").write_bytes(contents)
        return place / "x"

    return write


def cut(path: Path) -> None:
    shard = next(path.glob("*.npz"))
    shard.write_bytes(shard.read_bytes()[:1000])


ALL_BAD = np.where(np.arange(STEPS) == 5, 7, np.arange(STEPS) % 2)
TFRECORD = struct.pack("<QI", 12, 0xDEADBEEF) + b"\x0a\x0a\x0a\x08\x0a\x01a\x12\x03\x1a\x01\x00" + bytes(5)

CASES: dict[str, tuple[Callable[[Path], Path], int, str]] = {
    # a label that the environment has no action for
    "label outside the spec, table": (csv(put(9, 4, 7)), 2, "action is out of range: 2 times, first episode 0 step 7"),
    "label outside the spec, directory": (directory(action=ALL_BAD), 2, "2 times, first episode 0 step 5, episode 1"),
    "negative label": (csv(put(3, 4, -1)), 2, "expected  0 to 1          got  -1"),
    "float labels for integer actions": (csv(put(2, 4, 0.5)), 2, "action is of another kind than its spec"),
    "labels in a column of their own": (rollouts(acts=(np.arange(40) % 2)[:, None]), 2, "got  int64 (1,)"),
    "one class of labels": (csv(column(4, 1)), 2, "action is always the same"),
    # numbers
    "nan in an observation": (csv(put(5, 0, "nan")), 2, "observation is not finite: 2 times, first episode 0 step 3"),
    "infinity in an observation": (csv(put(5, 0, "-inf")), 2, "episode 0 step 3, episode 1 step 3"),
    "nan in a reward": (csv(put(5, 5, "NaN")), 2, "reward is not finite: 2 times"),
    "float64 beyond float32": (parquet(p=np.full(40, 1e300)), 2, "observation does not fit float32: 40 times"),
    # tables
    "a formula": (csv(put(7, 1, "=SUM(A1:A3)")), 1, "column 'v' holds something else than numbers in row 7, 27"),
    "text among numbers": (csv(put(7, 1, "n/a")), 1, "in row 7, 27"),
    "an empty cell": (csv(put(7, 1, "")), 1, "in row 7, 27"),
    "a decimal comma": (csv(put(7, 1, "0,5")), 1, "is damaged in row 7"),
    "a row cut short": (csv(lambda rows: [*rows[:-1], rows[-1][:3]]), 1, "is damaged in row 41"),
    "an episode id that comes back": (csv(lambda rows: rows + rows[1:4]), 1, "goes on in row 42, after another one"),
    "other columns": (csv(lambda rows: [["t", *row[1:]] for row in rows]), 2, "no 'p' among"),
    "a header without rows": (csv(lambda rows: rows[:1]), 1, "holds no rows"),
    "another encoding": (csv(put(7, 1, 0), b"\xff\xfe"), 1, "is no text in UTF-8"),
    "truncated parquet": (parquet(keep=0.7), 1, "is truncated or damaged"),
    "text in parquet": (parquet(p=["x"] * 40), 1, "column 'p' holds something else than numbers"),
    # archives
    "an archive of python objects": (rollouts(obs=np.array([None] * 42)), 1, "Python objects in obs, which are never"),
    "object labels": (rollouts(acts=np.array([0, 1] * 20, object)), 1, "Python objects in acts, which are never"),
    "a truncated archive": (rollouts(keep=0.5), 1, "is truncated or damaged"),
    "rewards of T + 1": (rollouts(rews=np.ones(41)), 2, "rewards and actions do not fit together"),
    "observations of no length that fits": (rollouts(obs=np.zeros((45, 4))), 2, "expected  40 observations, or 42"),
    "flags that do not fit the episodes": (rollouts(terminal=np.array([True])), 1, "terminal and indices do not fit"),
    "episodes that begin nowhere": (rollouts(indices=np.array([50])), 2, "episode_ends do not cut the steps"),
    # directories
    "spaces of another environment": (directory(size=3), 2, "got  float32 (3,)"),
    "a truncated shard": (directory(cut), 1, "is truncated or damaged"),
    "a missing shard": (directory(lambda path: next(path.glob("*.npz")).unlink()), 1, "cannot read"),
    "a missing manifest": (directory(lambda path: (path / "manifest.json").unlink()), 1, "manifest.json is missing"),
    # what is no demonstrations at all
    "nothing": (raw(b""), 1, "is empty"),
    "a pickle": (raw(pickle.dumps([1, 2])), 1, "Python objects that only Python could run"),
    "gzip": (raw(gzip.compress(bytes(10**6))), 1, "a gzip file"),
    "records of TensorFlow": (raw(TFRECORD), 1, "bytes of an unknown kind"),
    "another archive": (raw(b"PK\x05\x06" + bytes(18)), 1, "is no archive of rollouts"),
    "a path that is not there": (lambda place: place / "absent", 1, "there is no"),
}


@pytest.mark.parametrize("name", CASES)
def test_is_refused_before_training(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    write, status, message = CASES[name]
    path, trained = write(tmp_path), []
    monkeypatch.setattr(training._cloning_trainer.CloningTrainer, "run", lambda self: trained.append(self))
    options = ["--columns", json.dumps(COLUMNS)] if path.suffix in (".csv", ".parquet") else []
    command = ["train", "bc", str(path), "--env", "CartPole-v1", "--out", str(tmp_path / "run"), *options]
    assert main(command) == status
    told = capsys.readouterr().err
    assert message in told
    assert "expected  " in told or "got  " in told
    assert len(told.splitlines()) <= 40
    assert "Traceback" not in told
    assert not trained
    assert not (tmp_path / "run").exists()


SOUND = {
    "a table": csv(),
    "a table with a byte order mark": csv(prefix=b"\xef\xbb\xbf"),
    "a table of float64": parquet(),
    "rollouts": rollouts(),
    "a directory": directory(),
    "labels that are few but differ": csv(column(5, 0)),
}


@pytest.mark.parametrize("name", SOUND)
def test_the_same_unbroken_has_no_errors(name: str, tmp_path: Path, capsys):
    path = SOUND[name](tmp_path)
    options = ["--columns", json.dumps(COLUMNS)] if path.suffix in (".csv", ".parquet") else []
    assert main(["data", "check", str(path), "--env", "CartPole-v1", *options]) == 0, capsys.readouterr().out
