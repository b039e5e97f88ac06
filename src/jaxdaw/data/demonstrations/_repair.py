"""repair: keeps the sound files of a damaged directory and renames the damaged ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from jaxdaw.data.demonstrations._directory import shard_problem
from jaxdaw.data.demonstrations._journal import read_journal
from jaxdaw.data.demonstrations._manifest import NAME, Manifest, find_manifest, read_manifest, write_manifest
from jaxdaw.data.demonstrations._rebuild_manifest import rebuild
from jaxdaw.errors import StorageError
from jaxdaw.storage import DirectoryLock, opened, replace, sync


class Repair(NamedTuple):
    """What `repair` did.

    Attributes:
      num_episodes: sound ones, which are kept.
      num_lost: episodes in damaged shards; those in a damaged journal cannot be counted, and without a manifest those
        in a shard that does not say its own number either.
      problems: one line for each damaged file.
      aside: where the damaged files lie now.
    """

    num_episodes: int
    num_lost: int
    problems: tuple[str, ...] = ()
    aside: tuple[Path, ...] = ()


def repair(path: str | Path) -> Repair:
    """Keeps the sound episodes of a directory of demonstrations, and moves damaged files aside, beside the others.

    Every shard whose digest matches is kept, and of the journal all episodes before the first damaged one. A damaged
    file is renamed to `NAME.damaged-1`, never written to. A directory without damage stays as it is.

    A manifest that is damaged or missing is written anew from what the shards and the journal say about themselves,
    after the CRC-32 of every array and the digest of every journal record were verified. Metadata are those of the
    newest shard.

    Args:
      path: of the directory, which no writer may hold.

    Raises:
      StorageError: there is no manifest, and nothing that it could be written anew from; a newer jaxdaw wrote it; or a
        writer is at work.
    """
    directory = Path(path)
    if not directory.is_dir():
        read_manifest(directory)  # raises
    with DirectoryLock(directory, "writer"):
        manifest = find_manifest(directory)
        if isinstance(manifest, Manifest):
            return _repair(directory, manifest)
        return _repair_manifest(directory, manifest)


def _repair_manifest(directory: Path, problem: str) -> Repair:
    rebuilt = rebuild(directory)
    if rebuilt is None:
        read_manifest(directory)  # raises
        raise StorageError(
            f"{directory} cannot be repaired: neither a shard nor a journal says what it holds",
            expected="the manifest, or one sound shard",
            got=f"{NAME}: {problem}",
            fix="a copy of the directory",
        )
    missing = not os.path.lexists(directory / NAME)
    aside = [] if missing else [_move_aside(directory, NAME)]
    aside += [_move_aside(directory, name) for name in rebuilt.unfit]
    if rebuilt.journal and rebuilt.journal != rebuilt.manifest.journal:
        os.rename(directory / rebuilt.journal, directory / rebuilt.manifest.journal)
    write_manifest(directory, rebuilt.manifest)
    rest = _repair(directory, rebuilt.manifest)
    problems = (f"{NAME}: {'missing' if missing else problem}", *rebuilt.problems, *rest.problems)
    return Repair(rest.num_episodes, rebuilt.num_lost, problems, (*aside, *rest.aside))


def _repair(directory: Path, manifest: Manifest) -> Repair:
    problems, aside, kept = [], [], []
    lost = 0
    for entry in manifest.shards:
        problem = shard_problem(directory, manifest, entry)
        if problem is None:
            kept.append(entry)
            continue
        problems.append(problem)
        lost += len(entry.lengths)
        if os.path.lexists(directory / entry.name):
            aside.append(_move_aside(directory, entry.name))
    journal_name = manifest.journal
    journal = read_journal(directory / journal_name, manifest)
    sound = b""
    if journal.size:
        with opened(directory / journal_name) as file:
            sound = file.read(journal.size)
    if journal.problem is not None:
        problems.append(f"{journal_name}: {journal.problem}, after {len(journal.episodes)} sound episodes")
        aside.append(_move_aside(directory, journal_name))
    repaired = manifest._replace(shards=tuple(kept), has_rewards=manifest.has_rewards if kept else None)
    if sound and (journal.problem is not None or repaired.journal != journal_name):
        replace(directory / repaired.journal, lambda file: file.write(sound))
    if len(kept) < len(manifest.shards):
        write_manifest(directory, repaired)
    if repaired.journal != journal_name and (directory / journal_name).exists():
        (directory / journal_name).unlink()  # its episodes are in the other one
    sync(directory)
    count = sum(len(entry.lengths) for entry in kept) + len(journal.episodes)
    return Repair(count, lost, tuple(problems), tuple(aside))


def _move_aside(directory: Path, name: str) -> Path:
    number = 1
    while os.path.lexists(directory / f"{name}.damaged-{number}"):
        number += 1
    target = directory / f"{name}.damaged-{number}"
    os.rename(directory / name, target)
    return target
