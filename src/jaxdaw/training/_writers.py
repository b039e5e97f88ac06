"""What a run writes while it goes: JSON lines and TensorBoard events."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from jaxdaw.agents import Histogram


class MetricsWriter:
    """Appends rows to `metrics.jsonl` and scalars to TensorBoard; each row is on disk when `write` returns.

    Args:
      directory: the run's.
    """

    def __init__(self, directory: Path):
        self._lines = (directory / "metrics.jsonl").open("a", encoding="utf-8")
        self._directory = directory / "tensorboard"
        self._events: Any = None
        self._purge_step: int | None = None

    def write(self, row: dict[str, Any]) -> None:
        """Appends one row; numbers that are not finite become null."""
        self._lines.write(json.dumps(plain_row(row)) + "\n")
        self._lines.flush()

    @property
    def position(self) -> int:
        """Bytes of `metrics.jsonl` so far."""
        return self._lines.tell()

    def go_back(self, position: int, step: int) -> None:
        """Drops the rows behind a position: they belong to a history that was left by restoring an earlier state.

        Args:
          position: in bytes.
          step: of that state; TensorBoard hides what was written for later ones.
        """
        if self._lines.tell() > position:
            self._lines.truncate(position)
            self._lines.seek(0, os.SEEK_END)  # else `position` stays where it was until the next row
            self._purge_step = step + 1

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Writes scalars by tag; those that are not finite are left out."""
        for tag, value in values.items():
            if value is not None and math.isfinite(value):
                self.events.add_scalar(tag, value, step)

    @property
    def events(self) -> Any:
        """The TensorBoard writer, made when first used: its import costs a third of a second."""
        if self._events is None:
            from tensorboardX import SummaryWriter

            self._events = SummaryWriter(str(self._directory), purge_step=self._purge_step)
        return self._events

    def close(self) -> None:
        """Flushes and closes both files."""
        self._lines.close()
        if self._events is not None:
            self._events.close()


def plain_row(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a row as JSON has it: numbers that are not finite become None, in lists too."""
    return {key: _plain(value) for key, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_summaries(events: Any, summaries: dict[str, Any], step: int) -> None:
    """Writes an agent's summaries to a TensorBoard writer.

    Args:
      events: a `tensorboardX.SummaryWriter`.
      summaries: an agent's `summaries`, scalars and `Histogram`s by tag.
      step: the train step they belong to.
    """
    for tag, value in summaries.items():
        if isinstance(value, Histogram):
            counts = np.asarray(value.counts, np.float64)
            events.add_histogram_raw(
                tag,
                min=float(value.minimum),
                max=float(value.maximum),
                num=int(counts.sum()),
                sum=float(value.total),
                sum_squares=float(value.total_squares),
                bucket_limits=np.asarray(value.limits, np.float64)[1:].tolist(),
                bucket_counts=counts.tolist(),
                global_step=step,
            )
        else:
            events.add_scalar(tag, float(value), step)
