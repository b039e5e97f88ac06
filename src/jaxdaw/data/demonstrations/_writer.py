"""DemonstrationWriter: appends episodes to a directory, one durable record each."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.data._conform import cast, conform
from jaxdaw.data._report import Report
from jaxdaw.data.demonstrations._directory import add_shard, journal_refusal
from jaxdaw.data.demonstrations._episode import Episode
from jaxdaw.data.demonstrations._journal import encode, encode_start, read_journal
from jaxdaw.data.demonstrations._manifest import NAME, Manifest, numbered, read_manifest, write_manifest
from jaxdaw.data.demonstrations._structure import structure_faults
from jaxdaw.errors import SpecError, StorageError
from jaxdaw.storage import DirectoryLock, sync, write_failure

_SHARD_BYTES = 64 * 2**20


class DemonstrationWriter:
    """Writes demonstrations into a directory, which `read` reads.

    When `add` returns the system has the episode: a process killed at any moment loses at most the one that it is
    adding. The disk is told to keep it at once, in the background; `flush` and `close` wait until it has, so that a
    failing power supply loses nothing from before. A directory that was closed, or whose writer was killed, is
    continued. One writer at a time.

    Args:
      path: of the directory; made if it is absent.
      observation_spec: a nest of specs, containers of which are dictionaries, lists and tuples.
      action_spec: likewise.
      metadata: JSON values by name; None keeps those of a directory that is continued.
      shard_bytes: how much is gathered before it becomes a file of its own; the `add` that makes one takes longer.

    Raises:
      StorageError: the directory holds something else, other specs or damage, has another writer, or cannot be written.

    >>> import tempfile
    >>> with DemonstrationWriter(
    ...     tempfile.mkdtemp(), specs.TensorSpec((2,), "float32"), specs.BoundedTensorSpec((), "int32", 0, 1)
    ... ) as writer:
    ...     writer.add(Episode(np.zeros((4, 2), "float32"), np.array([0, 1, 1]), terminated=True))
    """

    def __init__(
        self,
        path: str | Path,
        observation_spec: Any,
        action_spec: Any,
        *,
        metadata: Mapping[str, Any] | None = None,
        shard_bytes: int = _SHARD_BYTES,
    ):
        self._directory = Path(path)
        self._shard_bytes = shard_bytes
        self._lock = DirectoryLock(self._directory, "writer")
        self._journal = -1
        self._syncs = ThreadPoolExecutor(1, "jaxdaw-sync")
        self._sync: Future[None] | None = None
        self._sync_error: BaseException | None = None
        try:
            self._lock.acquire()
            self._manifest = self._open(Manifest(observation_spec, action_spec, metadata or {}, None))
            if metadata is not None and dict(metadata) != dict(self._manifest.metadata):
                self._manifest = self._manifest._replace(metadata=metadata)
                write_manifest(self._directory, self._manifest)
            self._open_journal()
        except BaseException as error:
            self._release()
            if isinstance(error, OSError) and not isinstance(error, StorageError):
                raise write_failure(self._directory, error, "what was added stays") from error
            raise

    def _open(self, wanted: Manifest) -> Manifest:
        """Returns the manifest of the directory, which is written if there is none."""
        shards = numbered(self._directory, ".npz") or numbered(self._directory, ".journal")
        if not (self._directory / NAME).exists() and not shards:
            others = [name for name in sorted(os.listdir(self._directory)) if not name.startswith(".")]
            if others:
                raise StorageError(
                    f"{self._directory} holds something else than demonstrations",
                    expected="a new or empty directory",
                    got=", ".join(others[:3]),
                    fix=str(self._directory / "demonstrations"),
                )
            write_manifest(self._directory, wanted)
            sync(self._directory.resolve().parent)
            return wanted
        manifest = read_manifest(self._directory)
        for name in ("observation_spec", "action_spec"):
            if getattr(manifest, name) != getattr(wanted, name):
                raise StorageError(
                    f"{self._directory} holds demonstrations of another {name}",
                    expected=f"{getattr(wanted, name)}"[:200],
                    got=f"{getattr(manifest, name)}"[:200],
                    fix="another directory",
                )
        return manifest

    def _open_journal(self) -> None:
        path = self._directory / self._manifest.journal
        journal = read_journal(path, self._manifest)
        self.num_episodes = sum(len(entry.lengths) for entry in self._manifest.shards) + len(journal.episodes)
        if journal.problem is not None:
            raise journal_refusal(self._directory, self._manifest, journal, self.num_episodes)
        self._has_rewards = self._manifest.has_rewards
        if journal.episodes:
            self._has_rewards = journal.episodes[0].reward is not None
        self._size = journal.size
        self._journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
        sync(self._directory)

    def add(self, episode: Episode) -> None:
        """Adds an episode, which outlives the process when this returns; see `flush`. Its arrays may be reused.

        Raises:
          SpecError: the episode does not fit together, or not the specs, bounds of actions included; nothing is
            written.
          StorageError: the disk is full or failed, or the writer is closed; what was added before stays.
        """
        self._raise_if_closed()
        self._append(encode(self._conform(episode)))
        self._has_rewards = episode.reward is not None
        if (
            self._sync is None or self._sync.running() or self._sync.done()
        ):  # else a sync is queued that covers this write
            self._sync = self._syncs.submit(os.fsync, self._journal)
            self._sync.add_done_callback(self._note)

    def extend(self, episodes: Iterable[Episode]) -> None:
        """Adds many episodes, which are all on the disk when this returns.

        Raises:
          SpecError, StorageError: as `add`; those before the refused one are kept.
        """
        self._raise_if_closed()
        try:
            for episode in episodes:
                self._append(encode(self._conform(episode)))
                self._has_rewards = episode.reward is not None
        finally:
            self.flush()

    def flush(self) -> None:
        """Waits until everything that was added is on the disk, whatever happens to the machine.

        Raises:
          StorageError: the disk failed.
        """
        self._raise_if_closed()
        self._settle()
        try:
            os.fsync(self._journal)
        except OSError as error:
            raise write_failure(self._directory, error, "what was added stays") from error

    def _settle(self) -> None:
        """Waits for the sync that runs in the background."""
        if self._sync is not None:
            wait([self._sync])
            self._sync = None
        self._raise_if_not_kept()

    def _note(self, sync: Future[None]) -> None:
        self._sync_error = self._sync_error or sync.exception()

    def _raise_if_not_kept(self) -> None:
        error, self._sync_error = self._sync_error, None
        if isinstance(error, OSError):
            raise write_failure(self._directory, error, "what was added stays") from error

    def _raise_if_closed(self) -> None:
        if self._journal < 0:
            fix = f"DemonstrationWriter({str(self._directory)!r}, ...) continues the directory"
            raise StorageError("the writer is closed", fix=fix)
        self._raise_if_not_kept()

    def _append(self, record: bytes) -> None:
        if self._size and self._size + len(record) > self._shard_bytes:
            self._start_shard()
        if not self._size:
            record = encode_start(self._manifest) + record
        try:
            _write(self._journal, record)
        except BaseException as error:
            with contextlib.suppress(OSError):  # half an episode would be read as damage
                os.ftruncate(self._journal, self._size)
            if isinstance(error, OSError):
                raise write_failure(self._directory, error, "what was added stays") from error
            raise
        self._size += len(record)
        self.num_episodes += 1

    def close(self) -> None:
        """Puts what is in the journal into a shard, and lets another writer in. A second call does nothing."""
        if self._journal >= 0:
            try:
                self._start_shard()
                if not self._size:
                    (self._directory / self._manifest.journal).unlink()
            finally:
                self._release()

    def __enter__(self) -> DemonstrationWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _conform(self, episode: Episode) -> Episode:
        Report.of(structure_faults([episode])).raise_if_faulty("the episode's arrays")
        if self._has_rewards not in (None, episode.reward is not None):
            got = "none" if self._has_rewards else "rewards"
            raise SpecError("rewards are in all episodes or in none", expected="as in those before", got=got)
        observation = conform(episode.observation, self._manifest.observation_spec, "observation")
        specs.check(
            observation, self._manifest.observation_spec, 1, what="the episode's observation", check_bounds=False
        )
        action = conform(episode.action, self._manifest.action_spec, "action")
        specs.check(action, self._manifest.action_spec, 1, what="the episode's action")
        reward = None if episode.reward is None else cast(np.asarray(episode.reward), np.dtype(np.float32), "reward")
        return dataclasses.replace(episode, observation=observation, action=action, reward=reward)

    def _start_shard(self) -> None:
        """Moves the episodes of the journal into a shard, and begins the next journal."""
        if not self._size:
            return
        self._settle()
        old = self._directory / self._manifest.journal
        journal = read_journal(old, self._manifest)
        try:
            self._manifest = add_shard(self._directory, self._manifest, journal.episodes)
            os.close(self._journal)
            self._journal = -1
            path = self._directory / self._manifest.journal
            self._journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
            old.unlink()  # the manifest now names the next journal, so this one is no longer read
            sync(self._directory)
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise write_failure(self._directory, error, "what was added stays") from error
        self._size = 0

    def _release(self) -> None:
        self._syncs.shutdown()
        if self._journal >= 0:
            os.close(self._journal)
        self._journal = -1
        self._lock.release()


def _write(descriptor: int, record: bytes) -> None:
    view = memoryview(record)
    while view:
        view = view[os.write(descriptor, view) :]
