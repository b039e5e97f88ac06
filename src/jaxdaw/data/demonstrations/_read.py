"""read_demonstrations: recognises the kind of a file or directory by its contents, and reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdaw.data.demonstrations import _directory, _imitation, _manifest, _minari, _step_tables
from jaxdaw.data.demonstrations._demonstrations import Demonstrations
from jaxdaw.errors import ConfigError, SpecError, StorageError
from jaxdaw.storage import LIMIT_BYTES, member_names, opened

_KINDS = "a directory of jaxdaw, a Minari data set, rollouts of imitation (NPZ), or a table (CSV, Parquet)"


def read_demonstrations(
    path: str | Path,
    observation_spec: Any = None,
    action_spec: Any = None,
    *,
    columns: Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
    limit_bytes: int = LIMIT_BYTES,
    verify: bool = True,
) -> Demonstrations:
    """Returns the demonstrations that a path holds.

    The kind is recognised by the contents, never by the name, and no code in it is run. A directory of jaxdaw stays
    on the disk until it is drawn; everything else is read into memory.

    * A directory that `DemonstrationWriter` wrote.
    * A local Minari data set, by its directory, or by its id, such as `door-human-v2`: HDF5 or Arrow. Needs the extra
      `minari`.
    * Rollouts of the library `imitation`, an NPZ. Its `infos` are Python objects and are not read.
    * A table, CSV or Parquet, one row a step, with `columns`. Parquet needs the extra `parquet`.

    Args:
      path: of the file or directory, or the id of a Minari data set.
      observation_spec, action_spec: nests of specs; None takes those of the file, or infers them as `Demonstrations`.
      columns: of a table: `{"observation": ["x", "v"], "action": "a", "reward": "r", "episode": "id", "terminated":
        "end", "truncated": "cut"}`. A list of names is one array, a name a number, a dictionary a nest. Without
        `episode`, episodes end where a flag says.
      max_episode_steps: of rollouts, which do not tell terminated from truncated: those of this length were truncated.
      limit_bytes: the most that the contents may take in memory.
      verify: compare a directory of jaxdaw with the digests of its files, which reads them once; see `read`. Other
        kinds are compared with what digests they have always.

    Raises:
      StorageError: the path holds nothing that is known, or is truncated, damaged or larger than allowed.
      SpecError: its episodes do not fit together, or not the specs.
      ConfigError: `columns` for something else than a table, or none for a table.
      ImportError: an extra is missing; the message says how to install it.
    """
    place = Path(path)
    kind = _recognise(place, str(path))
    if (columns is not None) != (kind in ("csv", "parquet")):
        raise ConfigError(
            f"{path} is {'no' if columns is not None else 'a'} table",
            expected="columns for a table, and for nothing else",
            got=f"columns={'None' if columns is None else '...'}",
            fix='columns={"observation": ["x", "v"], "action": "a", "episode": "id"}' if columns is None else None,
        )
    match kind:
        case "directory":
            found = _directory.read(place, verify=verify)
            return found if observation_spec is action_spec is None else _as(found, observation_spec, action_spec)
        case "imitation":
            return _imitation.read_rollouts(
                place, observation_spec, action_spec, max_episode_steps=max_episode_steps, limit_bytes=limit_bytes
            )
        case "csv" | "parquet":
            reader = _step_tables.read_csv if kind == "csv" else _step_tables.read_parquet
            return reader(place, columns or {}, observation_spec, action_spec, limit_bytes=limit_bytes)
        case _:
            where = place if place.exists() else _minari.local_path(str(path))
            return _minari.read_minari(where, observation_spec, action_spec, limit_bytes=limit_bytes)


def _as(found: Demonstrations, observation_spec: Any, action_spec: Any) -> Demonstrations:
    for name, wanted in (("observation_spec", observation_spec), ("action_spec", action_spec)):
        if wanted is not None and wanted != getattr(found, name):
            raise SpecError(
                f"the demonstrations have another {name}",
                expected=str(wanted)[:200],
                got=str(getattr(found, name))[:200],
                fix=f"Demonstrations(list(found), {name}=...) casts them in memory",
            )
    return found


def _recognise(place: Path, text: str) -> str:
    if place.is_dir():
        if (place / _manifest.NAME).exists() or _manifest.numbered(place, ".npz"):
            return "directory"
        if (place / "data").is_dir():
            return "minari"
        raise StorageError(f"{place} holds no demonstrations", expected=_KINDS, got="another directory")
    if not place.exists():
        if _minari.is_id(text):
            return "minari"
        raise StorageError(f"there is no {place}", expected=_KINDS, got="nothing")
    with opened(place) as file:
        start = file.read(8)
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"PK"):
        names = member_names(place)
        if names >= _imitation.KEYS:
            return "imitation"
        got = "an archive of " + ", ".join(sorted(names)[:6])
        fix = "jaxdaw.data.from_arrays(**arrays), with arrays of numbers from numpy.load(path, allow_pickle=False)"
        raise StorageError(f"{place} is no archive of rollouts", expected=", ".join(_imitation.KEYS), got=got, fix=fix)
    if not start:
        raise StorageError(f"{place} is empty", expected=_KINDS, got="0 bytes")
    unknown = {
        b"\x89HDF": "HDF5 outside of a Minari data set",
        b"\x80": "Python objects that only Python could run, which is never done",
        b"\x93NUMPY": "one array; demonstrations are several",
        b"\x1f\x8b": "a gzip file; unpack it, if you trust its size",
    }
    for mark, what in unknown.items():
        if start.startswith(mark):
            raise StorageError(f"{place} holds no demonstrations", expected=_KINDS, got=what)
    if b"\0" in start:
        raise StorageError(f"{place} holds no demonstrations", expected=_KINDS, got="bytes of an unknown kind")
    return "csv"
