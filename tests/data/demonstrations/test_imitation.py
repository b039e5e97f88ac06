"""Rollouts as `imitation` 1.0 writes them; the layout was taken from the files in its source distribution."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdaw.data import read_demonstrations
from jaxdaw.errors import ConfigError, SpecError, StorageError

LENGTHS = (2, 3)


def write_rollouts(path: Path, **change: Any) -> None:
    """Two trajectories of 2 and 3 steps: 3 and 4 observations one after the other."""
    arrays = {
        "obs": np.arange(14, dtype=np.float32).reshape(7, 2),
        "acts": np.array([0, 1, 1, 0, 1]),
        "infos": np.array([{}] * 5, object),
        "terminal": np.array([True, True]),
        "indices": np.array([2]),  # where the second begins
        "rews": np.array([1.0, 2.0, 4.0, 8.0, 16.0]),
        **change,
    }
    with path.open("wb") as file:
        np.savez_compressed(file, **{name: array for name, array in arrays.items() if array is not None})


def test_rollouts_are_cut_into_trajectories(tmp_path: Path):
    write_rollouts(tmp_path / "x.npz")
    found = read_demonstrations(tmp_path / "x.npz")
    assert found.lengths.tolist() == [2, 3]
    assert [one.observation[:, 0].tolist() for one in found] == [[0, 2, 4], [6, 8, 10, 12]]
    assert [one.action.tolist() for one in found] == [[0, 1], [1, 0, 1]]
    assert found.returns is not None
    assert found.returns.tolist() == [1 + 2, 4 + 8 + 16]
    assert found.metadata == {"source": "imitation"}


def test_ends_stay_unknown_until_a_limit_tells_them(tmp_path: Path):
    write_rollouts(tmp_path / "x.npz")
    found = read_demonstrations(tmp_path / "x.npz")
    assert not (found.terminated | found.truncated).any()
    found = read_demonstrations(tmp_path / "x.npz", max_episode_steps=3)
    assert found.terminated.tolist() == [True, False]
    assert found.truncated.tolist() == [False, True]
    write_rollouts(tmp_path / "x.npz", terminal=np.array([True, False]))
    found = read_demonstrations(tmp_path / "x.npz", max_episode_steps=4)
    assert found.terminated.tolist() == [True, False]  # the second was cut by the recorder


def test_rollouts_without_rewards_and_with_one_trajectory(tmp_path: Path):
    write_rollouts(
        tmp_path / "x.npz",
        rews=None,
        indices=np.array([], np.int64),
        terminal=np.array([True]),
        obs=np.zeros((6, 2), np.float32),
    )
    found = read_demonstrations(tmp_path / "x.npz")
    assert found.lengths.tolist() == [5]
    assert found.returns is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"terminal": np.array([True])}, "terminal and indices do not fit together"),
        ({"obs": np.zeros((8, 2))}, "observations and actions do not fit together"),
        ({"rews": np.zeros(6)}, "rewards and actions do not fit together"),
        ({"indices": np.array([7])}, "do not cut the steps"),
        ({"acts": np.array([{}] * 5, object)}, "holds Python objects in acts"),
    ],
)
def test_rollouts_that_do_not_fit_are_refused_with_the_file(tmp_path: Path, change: dict[str, Any], message: str):
    write_rollouts(tmp_path / "x.npz", **change)
    with pytest.raises((SpecError, StorageError), match=rf"x\.npz(.|\n)*{message}"):
        read_demonstrations(tmp_path / "x.npz")


def test_truncated_rollouts_are_named(tmp_path: Path):
    write_rollouts(tmp_path / "x.npz")
    contents = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(contents[: len(contents) // 2])
    with pytest.raises(StorageError, match=r"x\.npz is truncated or damaged"):
        read_demonstrations(tmp_path / "x.npz")


ODD = st.sampled_from(
    [
        np.array(["a", "b", "c"]),
        np.array([b"a"] * 3),
        np.zeros(3, "M8[s]"),
        np.zeros(3, complex),
        np.zeros(3, [("x", "f4")]),
        np.zeros((3, 0)),
        np.zeros((0, 2)),
        np.zeros((), int),
        np.array([2**63] * 3, np.uint64),
        np.array([-1, 5, 2]),
        np.zeros((2, 2, 2), bool),
        np.zeros(3, np.longdouble),
        np.full(3, np.nan),
    ]
)


@given(st.dictionaries(st.sampled_from(["obs", "acts", "rews", "terminal", "indices"]), ODD, min_size=1), st.booleans())
def test_arrays_of_any_kind_are_refused_or_read(change, limited):
    arrays = {
        "obs": np.zeros((5, 2)),  # two trajectories, of two steps and of one, with the observations after them
        "acts": np.zeros(3, int),
        "rews": np.zeros(3),
        "terminal": np.array([True, False]),
        "indices": np.array([2]),
    }
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x.npz"
        np.savez(path, **(arrays | change))
        with contextlib.suppress(StorageError, SpecError, ConfigError):
            read_demonstrations(path, max_episode_steps=2 if limited else None)
