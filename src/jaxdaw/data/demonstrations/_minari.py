"""Local Minari data sets in HDF5 or Arrow. Links to other files are refused before Minari reads them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.data.demonstrations._demonstrations import Demonstrations
from jaxdaw.data.demonstrations._episode import Episode
from jaxdaw.errors import SpecError, StorageError, missing_extra
from jaxdaw.storage import JSON_LIMIT, damaged, opened, refuse_expansion, refuse_too_large

_ID = re.compile(r"([\w-]+/)*[\w.-]+-v\d+")
_SPACES = ("observation_space", "action_space")


def is_id(text: str) -> bool:
    """Returns whether a text reads like the id of a Minari data set, such as `D4RL/door/human-v2`."""
    return _ID.fullmatch(text) is not None


def local_path(name: str) -> Path:
    """Returns where a Minari data set of this id lies on this machine. Nothing is downloaded.

    Raises:
      StorageError: it is not there.
      ImportError: Minari is not installed.
    """
    _minari()
    from minari.storage import get_dataset_path

    path = Path(get_dataset_path(name))
    if not (path / "data").is_dir():
        raise StorageError(f"there is no Minari data set {name} here", got=str(path), fix=f"minari download {name}")
    return path


def read_minari(path: Path, observation_spec: Any, action_spec: Any, *, limit_bytes: int) -> Demonstrations:
    """Returns the demonstrations of a Minari data set; its spaces become the specs.

    Args:
      path: the directory that holds `data`.
      observation_spec, action_spec, limit_bytes: as in `read_demonstrations`.

    Raises:
      StorageError: damaged, links to other files, or no spaces, which only an environment could tell.
      SpecError: episodes that do not fit together.
      ImportError: Minari or what it needs for this format is not installed.
    """
    minari = _minari()
    metadata = _metadata(path)
    _refuse_links(path)
    if metadata.get("data_format", "hdf5") == "hdf5":
        _examine_hdf5(path / "data" / "main_data.hdf5", limit_bytes)
    else:
        files = [file for file in (path / "data").rglob("*") if file.is_file()]
        refuse_too_large(path, sum(file.stat().st_size for file in files), limit_bytes)
    try:
        dataset = minari.MinariDataset(path / "data")
        spaces = [specs.from_gymnasium(getattr(dataset, name)) for name in _SPACES]
        episodes = [_episode(found) for found in dataset.iterate_episodes()]
    except (SpecError, StorageError, ImportError):
        raise
    except Exception as error:  # of h5py, pyarrow, Pillow and Minari, which share no base
        raise StorageError(
            f"{path} cannot be read by Minari",
            expected="a whole data set of a version that it knows",
            got=f"{type(error).__name__}: {str(error)[:160]}",
            cause="a copy that was cut short, or another version of Minari.",
            fix="pip install -U minari, or copy the data set again",
        ) from error
    if not episodes:
        raise StorageError(f"{path} holds no episodes", expected="at least 1", got="0")
    told = {name: metadata[name] for name in ("dataset_id", "author", "algorithm_name") if name in metadata}
    observation_spec = spaces[0] if observation_spec is None else observation_spec
    action_spec = spaces[1] if action_spec is None else action_spec
    return Demonstrations(episodes, observation_spec, action_spec, {"source": "minari", **told})


def _minari() -> Any:
    try:
        import minari
    except ImportError:
        raise missing_extra("minari", "minari", "a Minari data set") from None
    return minari


def _episode(found: Any) -> Episode:
    terminations, truncations = np.asarray(found.terminations), np.asarray(found.truncations)
    return Episode(
        found.observations,
        found.actions,
        np.asarray(found.rewards),
        terminated=bool(terminations[-1]) if terminations.size else False,
        truncated=bool(truncations[-1]) if truncations.size else False,
        info={"id": int(found.id)},
    )


def _metadata(path: Path) -> dict[str, Any]:
    place = path / "data" / "metadata.json"
    with opened(place) as file:
        text = file.read(JSON_LIMIT + 1)
    try:
        metadata = json.loads(text) if len(text) <= JSON_LIMIT else None
        if not isinstance(metadata, dict):
            raise ValueError("no JSON object")
    except (ValueError, RecursionError) as error:
        raise damaged(place, "JSON", str(error)[:80]) from error
    absent = [name for name in _SPACES if not isinstance(metadata.get(name), str)]
    if absent:
        raise StorageError(
            f"{path} does not say its {absent[0]}",
            expected="observation_space and action_space in data/metadata.json",
            got="a data set whose environment has to be made to know them, which would run code that the file names",
            fix="minari.MinariDataset(path), then a copy with both spaces",
        )
    return metadata


def _refuse_links(path: Path) -> None:
    for entry in path.rglob("*"):
        if entry.is_symlink():
            raise _refusal(entry, "a symbolic link")


def _examine_hdf5(path: Path, limit_bytes: int) -> None:
    """Raises if an HDF5 file reads from other files, or holds more than allowed."""
    try:
        import h5py
    except ImportError:
        raise missing_extra("h5py", "minari", "a Minari data set in HDF5") from None
    size = 0
    try:
        with h5py.File(path, "r") as file:
            pending: list[Any] = [file]
            seen = set()
            while pending:
                group = pending.pop()
                for name in group:
                    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                        raise _refusal(path, f"a link at {group.name}/{name}")
                    child = group[name]
                    identity = child.id.__hash__()
                    if isinstance(child, h5py.Group):
                        if identity not in seen:  # hard links can form a ring
                            pending.append(child)
                    elif isinstance(child, h5py.Dataset):
                        if child.is_virtual or child.external:
                            raise _refusal(path, f"a data set of other files at {child.name}")
                        size += child.nbytes
                    seen.add(identity)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        if isinstance(error, StorageError):
            raise
        raise damaged(path, "a whole HDF5 file", str(error)[:80]) from error
    refuse_expansion(path, size, path.stat().st_size, limit_bytes, "h5repack -f NONE, if you trust the file")


def _refusal(path: Path, what: str) -> StorageError:
    return StorageError(
        f"{path} reads from other files, which is never followed",
        expected="everything in its own file",
        got=what,
        fix="h5repack, or copy the files themselves",
    )
