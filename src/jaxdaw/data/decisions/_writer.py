"""DecisionWriter: appends decisions and outcomes to a directory, in files that are written atomically.

```text
LOG/
  log.json                     format, arms, specs, metadata; with its digest
  decisions-000000.parquet     or .jsonl; never changed
  outcomes-000001.parquet      outcomes of any decisions before or after
```

A part is written to a temporary file, synced and renamed. A killed process loses what was not flushed, and no more.
"""

from __future__ import annotations

import os
import re
import threading
import time as clock
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxdaw import specs
from jaxdaw.data._conform import conform
from jaxdaw.data._parquet_file import arrow
from jaxdaw.data.decisions._check import check_decisions
from jaxdaw.data.decisions._columns import TEXT
from jaxdaw.data.decisions._decisions import MAX_ARMS, Decisions, concatenate
from jaxdaw.data.decisions._jsonl import decision_rows, write_rows
from jaxdaw.data.decisions._outcomes import OutcomeTable
from jaxdaw.data.decisions._parquet import PURPOSE, write_parquet_decisions, write_parquet_outcomes
from jaxdaw.errors import ConfigError, SpecError, StorageError
from jaxdaw.storage import DirectoryLock, read_json, replace, sync, write_failure, write_json

LOG_NAME = "log.json"
_FORMAT = 1
_KIND = "decisions"
_PART = re.compile(r"(decisions|outcomes)-(\d{6,})\.(jsonl|parquet)")


class LogManifest(NamedTuple):
    """The contents of `log.json`."""

    num_arms: int
    context_spec: Any
    arm_features_spec: Any
    metadata: Mapping[str, Any]

    def parts(self, directory: Path) -> list[Path]:
        """Returns the parts in the order in which they were written."""
        found = [(int(match[2]), name) for name in os.listdir(directory) if (match := _PART.fullmatch(name))]
        return [directory / name for _, name in sorted(found)]


def read_log_manifest(directory: Path) -> LogManifest:
    """Returns the manifest of a directory.

    Raises:
      StorageError: it is absent, damaged, of a newer format, or of something else.
    """
    path = directory / LOG_NAME
    contents = read_json(path)
    try:
        if contents.get("kind") != _KIND:
            raise ValueError(f"a file of {str(contents.get('kind', 'something else'))[:40]}")
        if contents["format"] != _FORMAT:
            raise StorageError(
                f"{path} was written by format {contents['format']}, this is {_FORMAT}",
                cause="it comes from a newer jaxdaw.",
                fix="pip install -U jaxdaw",
            )
        num_arms = contents["num_arms"]
        if type(num_arms) is not int or not 1 <= num_arms <= MAX_ARMS:
            raise ValueError(f"{str(num_arms)[:40]} arms")
        context, features = (specs.from_json(contents[name]) for name in ("context_spec", "arm_features_spec"))
        return LogManifest(num_arms, context, features, dict(contents["metadata"]))
    except StorageError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise StorageError(
            f"{path} is damaged or something else",
            expected="the manifest of a log of decisions",
            got=f"{type(error).__name__}: {str(error)[:100]}",
            fix="read_decisions(part) reads each Parquet part by itself",
        ) from error


class DecisionWriter:
    """Writes decisions and their outcomes into a directory, which `read_decisions` reads, while it is open too.

    Parts are committed by rename: a process killed at any moment loses what was not flushed, and nothing else. A
    directory is continued. One writer at a time, which many threads may share.

    Args:
      path: of the directory; made if it is absent.
      num_arms: A.
      context_spec: a nest of specs of one context; `()` for none.
      arm_features_spec: a nest of specs of the features of one arm; `()` for none.
      file_format: `parquet`, which needs the extra of that name, or `jsonl`.
      part_rows: after how many decisions or outcomes a part is written.
      metadata: JSON values by name; of a new directory.

    Raises:
      StorageError: the directory holds something else, other specs or damage, has another writer, or cannot be written.
      ConfigError: `num_arms` or `part_rows` below 1.
      ImportError: Parquet without pyarrow.

    >>> import tempfile
    >>> with DecisionWriter(tempfile.mkdtemp(), 2, specs.TensorSpec((2,), "float32"), file_format="jsonl") as writer:
    ...     made = writer.add(0, context=np.zeros(2, "float32"), probabilities=[0.9, 0.1])
    ...     writer.add_outcome(made, reward=1.0)
    """

    def __init__(
        self,
        path: str | Path,
        num_arms: int,
        context_spec: Any = (),
        *,
        arm_features_spec: Any = (),
        file_format: Literal["jsonl", "parquet"] = "parquet",
        part_rows: int = 10_000,
        metadata: Mapping[str, Any] | None = None,
    ):
        if num_arms < 1 or part_rows < 1 or file_format not in ("jsonl", "parquet"):
            raise ConfigError(
                "an argument of DecisionWriter is outside its range",
                expected="num_arms and part_rows of at least 1, file_format jsonl or parquet",
                got=f"{num_arms}, {part_rows}, {file_format}",
            )
        if file_format == "parquet":
            arrow(PURPOSE)
        self._directory, self._format, self._part_rows = Path(path), file_format, part_rows
        self._lock = DirectoryLock(self._directory, "writer")
        self._turn = threading.RLock()  # of the threads that share this writer
        self._pending: list[Decisions] = []
        self._num_pending = 0
        self._outcomes: list[tuple[str, float, float]] = []
        try:
            self._lock.acquire()
            self._manifest = self._open(LogManifest(num_arms, context_spec, arm_features_spec, metadata or {}))
            parts = self._manifest.parts(self._directory)
            self._next = 1 + int(parts[-1].stem.split("-")[1]) if parts else 0
        except BaseException as error:
            self._release()
            if isinstance(error, OSError) and not isinstance(error, StorageError):
                raise write_failure(self._directory, error, "what was added stays") from error
            raise

    def _open(self, wanted: LogManifest) -> LogManifest:
        if not (self._directory / LOG_NAME).exists():
            others = [name for name in sorted(os.listdir(self._directory)) if not name.startswith(".")]
            if others:
                raise StorageError(
                    f"{self._directory} holds something else than a log",
                    expected="a new or empty directory",
                    got=", ".join(others[:3]),
                    fix=str(self._directory / "log"),
                )
            contents = {
                "format": _FORMAT,
                "kind": _KIND,
                "num_arms": wanted.num_arms,
                "context_spec": specs.to_json(wanted.context_spec),
                "arm_features_spec": specs.to_json(wanted.arm_features_spec),
                "metadata": dict(wanted.metadata),
            }
            write_json(self._directory / LOG_NAME, contents)
            sync(self._directory.resolve().parent)
            return wanted
        manifest = read_log_manifest(self._directory)
        for name in ("num_arms", "context_spec", "arm_features_spec"):
            if getattr(manifest, name) != getattr(wanted, name):
                raise StorageError(
                    f"{self._directory} is a log of another {name}",
                    expected=f"{getattr(wanted, name)}"[:200],
                    got=f"{getattr(manifest, name)}"[:200],
                    fix="another directory",
                )
        return manifest

    def add(
        self,
        action: int,
        *,
        context: Any = (),
        probability: float | None = None,
        probabilities: Sequence[float] | None = None,
        eligible: Sequence[bool] | None = None,
        arm_features: Any = (),
        reward: float | None = None,
        decision_id: str | None = None,
        time: float | None = None,
        policy_version: str = "",
    ) -> str:
        """Adds one decision, and returns its id.

        Args:
          action: the chosen arm, in `0..A-1`.
          context: a nest of `[...]`.
          probability: with which it was chosen; may be left out if all `probabilities` are given.
          probabilities: `[A]`.
          eligible: `[A]` bool; None for all.
          arm_features: a nest of `[A, ...]`.
          reward: if it is known at once.
          decision_id: None makes one.
          time: seconds since 1970 UTC; None is now.
          policy_version: of whoever chose.

        Raises:
          SpecError: the decision does not fit the specs, or cannot have been made so; nothing is kept of it.
          StorageError: the part that became full cannot be written, or the writer is closed.
        """
        made = uuid.uuid4().hex if decision_id is None else decision_id

        def row(nest: Any) -> Any:
            return specs.map_structure(lambda leaf: np.asarray(leaf)[None], nest)

        self.extend(
            Decisions(
                [action],
                None if reward is None else [reward],
                None if probability is None else [probability],
                context=row(context),
                arm_features=row(arm_features),
                num_arms=self._manifest.num_arms,
                eligible=np.ones((1, self._manifest.num_arms), bool) if eligible is None else [eligible],
                probabilities=None if probabilities is None else [probabilities],
                decision_id=[made],
                time=[clock.time() if time is None else time],
                policy_version=[policy_version],
            )
        )
        return made

    def extend(self, decisions: Decisions) -> None:
        """Adds many decisions with their ids; arguments and errors are those of `add`.

        All calls of a writer give the same columns: a part with probabilities of all arms cannot be read together with
        one without.
        """
        if decisions.decision_id is None or decisions.num_arms != self._manifest.num_arms:
            raise SpecError(
                "the decisions do not fit the log",
                expected=f"ids, and {self._manifest.num_arms} arms",
                got=f"{'no ' if decisions.decision_id is None else ''}ids, and {decisions.num_arms} arms",
            )
        check_decisions(decisions, needs_reward=False).raise_if_faulty("the decisions")
        conformed = {}
        for name, outer in (("context", 1), ("arm_features", 2)):
            spec = getattr(self._manifest, f"{name}_spec")
            conformed[name] = conform(getattr(decisions, name), spec, name)
            specs.check(conformed[name], spec, outer, what=name, check_bounds=False)
        with self._turn:
            self._require_open()
            self._pending.append(decisions.replace(**conformed))
            self._num_pending += len(decisions)
            if self._num_pending >= self._part_rows:
                self.flush()

    def add_outcome(self, decision_id: str, reward: float, time: float | None = None) -> None:
        """Adds what a decision earned, of this log or of one before; joined when the log is read.

        Args:
          decision_id: that `add` returned.
          reward: finite.
          time: seconds since 1970 UTC; None is now.

        Raises:
          SpecError: a reward that is NaN or infinite.
          StorageError: as `add`.
        """
        if not np.isfinite(reward):
            raise SpecError(f"the reward of decision {decision_id} is not finite", expected="a number", got=str(reward))
        outcome = (str(decision_id), float(reward), clock.time() if time is None else float(time))
        with self._turn:
            self._require_open()
            self._outcomes.append(outcome)
            if len(self._outcomes) >= self._part_rows:
                self.flush()

    def flush(self) -> None:
        """Writes everything that was added, synced to disk.

        Raises:
          StorageError: the disk is full or failed; what was flushed before stays, the rest can be flushed again.
        """
        with self._turn:
            self._require_open()
            if self._pending:
                decisions = concatenate(self._pending)
                if self._format == "parquet":
                    self._commit("decisions", lambda file: write_parquet_decisions(file, decisions))
                else:
                    self._commit("decisions", lambda file: write_rows(file, decision_rows(decisions)))
                self._pending, self._num_pending = [], 0
            if self._outcomes:
                ids, rewards, times = zip(*self._outcomes, strict=True)
                table = OutcomeTable(np.array(ids, TEXT), np.array(rewards), np.array(times))
                if self._format == "parquet":
                    self._commit("outcomes", lambda file: write_parquet_outcomes(file, table))
                else:
                    rows = [{"decision_id": name, "reward": each, "time": at} for name, each, at in self._outcomes]
                    self._commit("outcomes", lambda file: write_rows(file, rows))
                self._outcomes = []

    def _commit(self, kind: str, write: Any) -> None:
        try:
            replace(self._directory / f"{kind}-{self._next:06d}.{self._format}", write)
        except OSError as error:
            raise write_failure(self._directory, error, "what was added stays") from error
        self._next += 1

    def close(self) -> None:
        """Flushes, and lets another writer in. A second call does nothing."""
        with self._turn:
            if self._lock.is_held:
                try:
                    self.flush()
                finally:
                    self._release()

    def __enter__(self) -> DecisionWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _require_open(self) -> None:
        if not self._lock.is_held:
            fix = f"DecisionWriter({str(self._directory)!r}, ...) continues the directory"
            raise StorageError("the writer is closed", fix=fix)

    def _release(self) -> None:
        self._lock.release()
