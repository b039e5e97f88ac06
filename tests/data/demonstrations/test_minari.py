"""Minari data sets: Minari itself writes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import h5py
import minari
import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from jaxdaw.data import read_demonstrations
from jaxdaw.errors import StorageError
from jaxdaw.specs import BoundedTensorSpec, TensorSpec

SPACE = spaces.Dict({"b": spaces.Box(-9, 9, (2,), np.float32), "a": spaces.Discrete(9)})


def make(path: Path, data_format: str) -> Path:
    (path / "data").mkdir(parents=True)
    storage = MinariStorage.new(
        path / "data", observation_space=SPACE, action_space=spaces.Discrete(3), data_format=data_format
    )
    storage.update_metadata({"dataset_id": "test/x-v0", "minari_version": minari.__version__})
    storage.update_episodes([buffer(0, 3, terminated=True), buffer(1, 2, terminated=False)])
    return path


def buffer(index: int, length: int, terminated: bool) -> EpisodeBuffer:
    ending = [False] * (length - 1) + [True]
    never = [False] * length
    return EpisodeBuffer(
        id=index,
        observations={
            "b": np.full((length + 1, 2), index, np.float32),
            "a": np.arange(length + 1, dtype=np.int64),
        },
        actions=np.arange(length, dtype=np.int64),
        rewards=[float(index + 1)] * length,
        terminations=ending if terminated else never,
        truncations=never if terminated else ending,
    )


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_a_data_set_is_read_with_its_spaces(tmp_path: Path, data_format: str):
    found = read_demonstrations(make(tmp_path / "x", data_format))
    assert found.lengths.tolist() == [3, 2]
    assert found.observation_spec == {
        "a": BoundedTensorSpec((), np.int64, 0, 8),
        "b": BoundedTensorSpec((2,), np.float32, -9, 9),
    }
    assert found.action_spec == BoundedTensorSpec((), np.int64, 0, 2)
    assert [one.observation["a"].tolist() for one in found] == [[0, 1, 2, 3], [0, 1, 2]]
    assert found[1].observation["b"].tolist() == [[1, 1]] * 3
    assert [one.action.tolist() for one in found] == [[0, 1, 2], [0, 1]]
    assert (found.terminated.tolist(), found.truncated.tolist()) == ([True, False], [False, True])
    assert found.returns is not None
    assert found.returns.tolist() == [3 * 1, 2 * 2]


def test_a_data_set_is_found_by_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    make(tmp_path / "test" / "x-v0", "hdf5")
    assert len(read_demonstrations("test/x-v0")) == 2
    with pytest.raises(StorageError, match=r"no Minari data set test/y-v0 here(.|\n)*minari download test/y-v0"):
        read_demonstrations("test/y-v0")


def plant(path: Path, link: Any) -> None:
    with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
        file["episode_0"]["extra"] = link


@pytest.mark.parametrize("link", [h5py.ExternalLink("/etc/passwd", "/x"), h5py.SoftLink("/episode_1")])
def test_links_in_hdf5_are_refused(tmp_path: Path, link: Any):
    path = make(tmp_path / "x", "hdf5")
    plant(path, link)
    with pytest.raises(StorageError, match=r"reads from other files(.|\n)*a link at /episode_0/extra"):
        read_demonstrations(path)


def test_data_sets_of_other_files_are_refused(tmp_path: Path):
    path = make(tmp_path / "x", "hdf5")
    (tmp_path / "secret").write_bytes(b"12345678")
    with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
        file["episode_0"].create_dataset("extra", (8,), "u1", external=[(str(tmp_path / "secret"), 0, 8)])
    with pytest.raises(StorageError, match="a data set of other files at /episode_0/extra"):
        read_demonstrations(path)


def test_a_ring_of_groups_ends(tmp_path: Path):
    path = make(tmp_path / "x", "hdf5")
    with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
        file["episode_0"]["ring"] = file["episode_0"]
    assert len(read_demonstrations(path)) == 2


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_symbolic_links_are_refused(tmp_path: Path, data_format: str):
    path = make(tmp_path / "x", data_format)
    (path / "data" / "link").symlink_to("/etc/passwd")
    with pytest.raises(StorageError, match="a symbolic link"):
        read_demonstrations(path)


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_truncated_files_are_named(tmp_path: Path, data_format: str):
    path = make(tmp_path / "x", data_format)
    file = next(file for file in (path / "data").rglob("*") if file.suffix in (".hdf5", ".arrow"))
    file.write_bytes(file.read_bytes()[:300])
    message = "is truncated or damaged" if data_format == "hdf5" else "cannot be read by Minari"
    with pytest.raises(StorageError, match=message):
        read_demonstrations(path)


def test_promises_of_terabytes_are_refused_before_memory_is_taken(tmp_path: Path):
    path = make(tmp_path / "x", "hdf5")
    with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
        file["episode_0"].create_dataset("extra", (10**12,), "f8", chunks=True)  # takes no space until it is filled
    with pytest.raises(StorageError, match="8,000,000,0"):
        read_demonstrations(path)


def test_a_data_set_without_spaces_is_refused_for_they_would_take_code(tmp_path: Path):
    path = make(tmp_path / "x", "hdf5")
    place = path / "data" / "metadata.json"
    metadata = json.loads(place.read_text())
    del metadata["action_space"]
    place.write_text(json.dumps({**metadata, "env_spec": "{}"}))
    with pytest.raises(StorageError, match=r"does not say its action_space(.|\n)*run code"):
        read_demonstrations(path)
    place.write_text("[")
    with pytest.raises(StorageError, match=r"metadata\.json is truncated or damaged"):
        read_demonstrations(path)


def test_specs_of_the_caller_replace_those_of_the_file(tmp_path: Path):
    wanted = {"a": TensorSpec((), "int32"), "b": TensorSpec((2,), "float32")}
    found = read_demonstrations(make(tmp_path / "x", "hdf5"), wanted)
    assert found.observation_spec == wanted
    assert found[0].observation["a"].dtype == np.int32


@pytest.mark.parametrize("package", ["minari", "h5py"])
def test_the_extra_is_named_when_it_is_missing(tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch):
    path = make(tmp_path / "x", "hdf5")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"'{package}', which is not installed(.|\n)*jaxdaw\[minari\]"):
        read_demonstrations(path)
