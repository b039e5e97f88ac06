"""Rebuilds a lost or damaged manifest from the copies in shards and journal."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from jaxdaw.data.demonstrations._directory import map_shard
from jaxdaw.data.demonstrations._journal import Journal, read_journal
from jaxdaw.data.demonstrations._manifest import Manifest, ShardEntry, decode_manifest, numbered
from jaxdaw.storage import map_npz, opened, sha256_of, verify_npz


class Rebuilt(NamedTuple):
    """What is left of a directory without its manifest.

    Attributes:
      manifest: of the sound shards.
      journal: the name of the file with the episodes that are in no shard; empty for none.
      num_lost: episodes in damaged shards that still say how many.
      problems: one line for each file that is not taken over.
      unfit: the names of these files.
    """

    manifest: Manifest
    journal: str
    num_lost: int
    problems: tuple[str, ...]
    unfit: tuple[str, ...]


def rebuild(directory: Path) -> Rebuilt | None:
    """Returns what can be verified: every CRC-32 and shape of the shards, every digest of the journals.

    Nothing is written. None if neither a shard nor a journal tells the specs.
    """
    kept: dict[int, tuple[Manifest, ShardEntry]] = {}
    problems: dict[str, str] = {}
    lost: dict[int, int] = {}
    for number, name in numbered(directory, ".npz").items():
        try:
            manifest, entry = _described(directory, name)
            lost[number] = len(entry.lengths)
            kept[number] = manifest, _verified(directory, name, manifest, entry._replace(number=number))
        except ValueError as error:
            problems[name] = str(error).splitlines()[0].removeprefix(f"{directory / name} ")
    first = next(iter(kept.values()))[0] if kept else None
    journals: dict[int, tuple[str, Journal]] = {}
    for number, name in numbered(directory, ".journal").items():
        journal = read_journal(directory / name, first)
        first = first or journal.manifest
        if number in kept and len(journal.episodes) <= len(kept[number][1].lengths):
            problems[name] = "its episodes are in a shard already"
        elif journal.episodes:
            journals[number] = name, journal
    if first is None:
        return None
    for number, (manifest, _) in list(kept.items()):
        if manifest[:2] != first[:2] or manifest.has_rewards != next(iter(kept.values()))[0].has_rewards:
            problems[f"shard-{number:06d}.npz"] = "other specs than those before"
            del kept[number]
    chosen = max(journals, default=None)
    for number, (name, _) in journals.items():
        if number != chosen:
            problems[name] = "a journal beside a newer one"
    if chosen in kept:  # a process was killed after it wrote the shard and before the manifest; another one continued
        problems[kept.pop(chosen)[1].name] = "its episodes are in a longer journal"
        del lost[chosen]
    newest = max(kept, default=None)
    latest = first if newest is None else kept[newest][0]
    manifest = latest._replace(
        has_rewards=latest.has_rewards if kept else None, shards=tuple(kept[number][1] for number in sorted(kept))
    )
    return Rebuilt(
        manifest,
        "" if chosen is None else journals[chosen][0],
        sum(count for number, count in lost.items() if number not in kept),
        tuple(f"{name}: {problem}" for name, problem in problems.items()),
        tuple(problems),
    )


def _described(directory: Path, name: str) -> tuple[Manifest, ShardEntry]:
    """Returns the manifest in a shard, and its entry."""
    about = map_npz(directory / name).get("about")
    if about is None:
        raise ValueError("does not say what it holds: an older jaxdaw wrote it")
    manifest = decode_manifest(about.tobytes(), directory / name)
    if len(manifest.shards) != 1:
        raise ValueError("does not say what it holds")
    return manifest, manifest.shards[0]


def _verified(directory: Path, name: str, manifest: Manifest, entry: ShardEntry) -> ShardEntry:
    with opened(directory / name) as file:
        entry = entry._replace(size=file.seek(0, 2), sha256=sha256_of(file))
    verify_npz(directory / name)
    map_shard(directory, manifest, entry)
    return entry
