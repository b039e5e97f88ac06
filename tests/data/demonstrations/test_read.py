"""read_demonstrations tells by the contents what a path holds."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.recordings import ACTION_SPEC, OBSERVATION_SPEC, episodes
from jaxdaw.data import DemonstrationWriter, read_demonstrations
from jaxdaw.errors import ConfigError, SpecError, StorageError
from jaxdaw.specs import TensorSpec

from .test_imitation import write_rollouts


def test_a_directory_of_ours_is_recognised_whatever_it_is_called(tmp_path: Path):
    path = tmp_path / "x.csv"
    with DemonstrationWriter(path, OBSERVATION_SPEC, ACTION_SPEC) as writer:
        for one in episodes():
            writer.add(one)
    assert read_demonstrations(str(path)).num_steps == 10
    assert read_demonstrations(path, action_spec=ACTION_SPEC).num_steps == 10
    with pytest.raises(SpecError, match="another observation_spec"):
        read_demonstrations(path, TensorSpec((3,), "float32"))


def test_rollouts_and_tables_are_recognised_whatever_they_are_called(tmp_path: Path):
    write_rollouts(tmp_path / "a.parquet")
    assert len(read_demonstrations(tmp_path / "a.parquet")) == 2
    (tmp_path / "b.npz").write_text("x,a,id\n1,0,7\n2,1,7\n")
    columns = {"observation": ["x"], "action": "a", "episode": "id"}
    assert read_demonstrations(tmp_path / "b.npz", columns=columns).lengths.tolist() == [2]


def test_columns_belong_to_tables(tmp_path: Path):
    write_rollouts(tmp_path / "a.npz")
    with pytest.raises(ConfigError, match="is no table"):
        read_demonstrations(tmp_path / "a.npz", columns={})
    (tmp_path / "b.csv").write_text("x,a\n1,0\n")
    with pytest.raises(ConfigError, match=r"is a table(.|\n)*columns="):
        read_demonstrations(tmp_path / "b.csv")


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "is empty"),
        (b"\x80\x04\x95", "only Python could run"),
        (b"\x89HDF\r\n\x1a\n", "HDF5 outside of a Minari data set"),
        (b"\x1f\x8b\x08\x00", "a gzip file"),
        (npy(np.zeros(3)), "one array"),
        (b"\x7fELF\x00", "unknown kind"),
        (b"PK\x03\x04", "truncated or damaged"),
    ],
)
def test_other_files_are_named(tmp_path: Path, contents: bytes, message: str):
    (tmp_path / "x").write_bytes(contents)
    with pytest.raises(StorageError, match=message):
        read_demonstrations(tmp_path / "x")


def test_other_archives_and_directories_are_named(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("states.npy", npy(np.zeros(3)))
    with pytest.raises(StorageError, match=r"an archive of states(.|\n)*allow_pickle=False"):
        read_demonstrations(tmp_path / "x.npz")
    for path, message in ((tmp_path, "another directory"), (tmp_path / "no", "there is no"), ("/dev/null", "device")):
        with pytest.raises(StorageError, match=message):
            read_demonstrations(path)


def test_no_reader_runs_what_a_file_holds(tmp_path: Path):
    class Bomb:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "ran"), "w"))

    bombs = np.array([Bomb(), Bomb()], object)
    names = ("obs", "acts", "indices", "terminal")
    np.savez(tmp_path / "all.npz", allow_pickle=True, **dict.fromkeys(names, bombs))
    write_rollouts(tmp_path / "infos.npz", infos=bombs)
    loaded: list[str] = []
    sys.addaudithook(lambda event, _: loaded.append(event) if event == "pickle.find_class" else None)
    with pytest.raises(StorageError, match="Python objects"):
        read_demonstrations(tmp_path / "all.npz")
    assert len(read_demonstrations(tmp_path / "infos.npz")) == 2
    assert not loaded
    assert not (tmp_path / "ran").exists()
