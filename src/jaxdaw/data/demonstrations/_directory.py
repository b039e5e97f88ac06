"""Directories of demonstrations: writes, maps and verifies shards."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jaxdaw import specs
from jaxdaw.data.demonstrations._bounds import bounds_dtype, bounds_of
from jaxdaw.data.demonstrations._demonstrations import Demonstrations
from jaxdaw.data.demonstrations._episode import Episode
from jaxdaw.data.demonstrations._journal import Journal, read_journal
from jaxdaw.data.demonstrations._manifest import (
    Manifest,
    ShardEntry,
    arrays_of,
    encode_manifest,
    expected_arrays,
    nests_of,
    read_manifest,
    write_manifest,
)
from jaxdaw.data.demonstrations._shards import Shard, pack
from jaxdaw.errors import JaxdawWarning, StorageError
from jaxdaw.storage import damaged, map_npz, opened, replace, sha256_of, without_duplicates, write_npz


def add_shard(directory: Path, manifest: Manifest, episodes: Sequence[Episode]) -> Manifest:
    """Writes episodes as the next shard and returns the manifest, which is written too."""
    shard = pack(episodes)
    arrays = arrays_of(shard)
    if shard.info:
        arrays["info"] = np.frombuffer(json.dumps(list(shard.info), allow_nan=False).encode("ascii"), np.uint8)
    entry = ShardEntry(manifest.next_number, 0, "", tuple(shard.lengths.tolist()), bytes(shard.flags.tolist()))
    has_rewards = shard.reward is not None
    for index, leaf in enumerate(specs.flatten(shard.observation)):
        arrays[f"low_{index}"], arrays[f"high_{index}"] = bounds_of(leaf)
    about = encode_manifest(manifest._replace(has_rewards=has_rewards, shards=(entry,)))
    arrays["about"] = np.frombuffer(about, np.uint8)
    found: list[tuple[int, str]] = []

    def write(file: BinaryIO) -> None:
        write_npz(file, arrays)
        found.append((file.seek(0, 2), sha256_of(file)))

    replace(directory / entry.name, write)
    entry = entry._replace(size=found[0][0], sha256=found[0][1])
    manifest = manifest._replace(has_rewards=has_rewards, shards=(*manifest.shards, entry))
    write_manifest(directory, manifest)
    return manifest


def read(path: str | Path, *, verify: bool = True) -> Demonstrations:
    """Returns the demonstrations in a directory of jaxdaw. Their arrays stay on the disk until they are drawn.

    Args:
      path: of the directory. A writer may be at work in it; what it adds from now on is not seen.
      verify: read every shard once, and compare it with the SHA-256 in the manifest. False checks names, sizes and
        shapes only: values that a disk or a copy damaged are then learned from.

    Raises:
      StorageError: a file is missing, truncated or of something else, or there are no episodes.

    Warns:
      JaxdawWarning: a writer was killed, and the episode that it was writing is lost.
    """
    directory = Path(path)
    manifest = read_manifest(directory)
    shards = [map_shard(directory, manifest, entry) for entry in manifest.shards]
    if verify:
        _refuse_damage(directory, manifest)
    journal = read_journal(directory / manifest.journal, manifest)
    count = sum(len(entry.lengths) for entry in manifest.shards) + len(journal.episodes)
    if journal.problem is not None:
        if not journal.torn:
            raise journal_refusal(directory, manifest, journal, count)
        what = f"{directory / manifest.journal} ends in {journal.problem}; {count} whole episodes are read"
        warnings.warn(f"{what}\n  Fix: jaxdaw.data.repair({str(directory)!r})", JaxdawWarning, stacklevel=2)
    if journal.episodes:
        shards.append(pack(journal.episodes))
    if not shards:
        raise StorageError(f"{directory} holds no episodes", expected="at least 1", got="0")
    return Demonstrations.from_shards(shards, manifest.observation_spec, manifest.action_spec, manifest.metadata)


def map_shard(directory: Path, manifest: Manifest, entry: ShardEntry) -> Shard:
    """Returns a shard whose arrays are mapped, and fit the manifest.

    Raises:
      StorageError: it is missing, truncated, or holds other arrays.
    """
    path = directory / entry.name
    with opened(path) as file:
        size = file.seek(0, 2)
    if size != entry.size:
        raise _broken(directory, path, f"{entry.size:,} bytes", f"{size:,} bytes")
    try:
        arrays = map_npz(path)
    except StorageError as error:
        raise _repairable(directory, error) from error
    for name, (shape, dtype) in expected_arrays(manifest, entry).items():
        array = arrays.get(name)
        if array is None or array.shape != shape or array.dtype != dtype:
            got = "nothing" if array is None else f"{array.dtype} {array.shape}"
            raise _broken(directory, path, f"{name}: {dtype} {shape}", got)
    try:
        info = _infos(arrays["info"], len(entry.lengths)) if "info" in arrays else ()
    except (ValueError, TypeError, RecursionError) as error:
        raise _broken(directory, path, "info: JSON for each episode", str(error)[:80]) from error
    nests = nests_of(manifest, arrays)
    low, high = _bounds_in(manifest, arrays)
    return Shard(*nests, np.array(entry.lengths, np.int64), np.frombuffer(entry.flags, np.uint8), info, low, high)


def _infos(text: np.ndarray, count: int) -> list[Any]:
    """Returns the episodes' dictionaries, None where there is none."""
    if text.dtype != np.uint8 or text.ndim != 1:
        raise ValueError(f"{text.dtype} {text.shape}")
    infos = json.loads(text.tobytes(), object_pairs_hook=without_duplicates)
    if not isinstance(infos, list) or any(not isinstance(info, dict | None) for info in infos):
        raise ValueError("something else than a list of objects")
    if infos and len(infos) != count:
        raise ValueError(f"{len(infos)} dictionaries for {count} episodes")
    return infos


def _bounds_in(manifest: Manifest, arrays: Mapping[str, np.ndarray]) -> tuple[Any, Any]:
    """Returns the nests `low` and `high` of a shard's arrays; None where they are not all there, and fit."""
    leaves = specs.flatten(manifest.observation_spec)
    nests = []
    for name in ("low", "high"):
        found = [arrays.get(f"{name}_{index}") for index in range(len(leaves))]
        sound = [
            array is not None and (array.shape, array.dtype) == (leaf.shape, bounds_dtype(leaf.dtype))
            for array, leaf in zip(found, leaves, strict=True)
        ]
        if not all(sound):
            return None, None
        nests.append(specs.pack_like(manifest.observation_spec, found))
    return nests[0], nests[1]


def verify(path: str | Path) -> None:
    """Reads a directory of demonstrations to the last byte, and returns if every digest matches.

    Raises:
      StorageError: names each damaged file, and how many episodes are sound.
    """
    directory = Path(path)
    manifest = read_manifest(directory)
    _refuse_damage(directory, manifest, read_journal(directory / manifest.journal, manifest))


def _refuse_damage(directory: Path, manifest: Manifest, journal: Journal | None = None) -> None:
    """Raises StorageError if a shard does not match its SHA-256, or the journal has a problem."""
    faults, sound = [], 0
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        problems = list(threads.map(lambda entry: shard_problem(directory, manifest, entry), manifest.shards))
    for entry, problem in zip(manifest.shards, problems, strict=True):
        if problem is None:
            sound += len(entry.lengths)
        else:
            faults.append(problem)
    if journal is not None:
        sound += len(journal.episodes)
        if journal.problem is not None:
            faults.append(f"{manifest.journal}: {journal.problem}, after {len(journal.episodes)} sound episodes")
    if faults:
        raise StorageError(
            "\n    ".join([f"{directory} is damaged in {len(faults)} files; {sound} episodes are sound", *faults]),
            cause="a failing disk, a copy that was cut short, or a process that was killed while it wrote.",
            fix=f"jaxdaw.data.repair({str(directory)!r}) keeps what is sound, and moves the rest aside",
        )


def shard_problem(directory: Path, manifest: Manifest, entry: ShardEntry) -> str | None:
    """Returns what is wrong with a shard in one line, None for nothing; the whole file is read."""
    try:
        with opened(directory / entry.name) as file:
            digest = sha256_of(file)
        if digest != entry.sha256:
            return f"{entry.name}: sha256 {digest[:16]}... in place of {entry.sha256[:16]}..."
        map_shard(directory, manifest, entry)
    except StorageError as error:
        return f"{entry.name}: {str(error).splitlines()[0]}"
    return None


def journal_refusal(directory: Path, manifest: Manifest, journal: Journal, count: int) -> StorageError:
    """Returns the error for a journal that is damaged, or cut short."""
    return StorageError(
        f"{directory / manifest.journal} is damaged",
        expected="whole episodes to its end",
        got=f"{journal.problem}; the last good one is episode {count - 1} of the demonstrations"
        if count
        else journal.problem,
        fix=f"jaxdaw.data.repair({str(directory)!r}) keeps the episodes before, and moves the file aside",
    )


def _broken(directory: Path, path: Path, expected: str, got: str) -> StorageError:
    return _repairable(directory, damaged(path, expected, got))


def _repairable(directory: Path, error: StorageError) -> StorageError:
    """Returns the error for a file that `repair` moves aside."""
    return StorageError(str(error).replace("Fix: copy the file again", f"Fix: jaxdaw.data.repair({str(directory)!r})"))
