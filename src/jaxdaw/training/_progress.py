"""What a person sees while a run goes on: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO


def count(number: float) -> str:
    """Returns a count as people say it.

    >>> count(950), count(12_500), count(3_000_000)
    ('950', '12.5k', '3M')
    """
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f}".removesuffix(".0") + unit
    return f"{number:.0f}"


class Progress:
    """Shows the rows of a run; use as a context manager and pass `update` as the watcher.

    Args:
      steps: environment steps, or epochs, to go to; 0 where only the rows of the run tell.
      title: what is running.
      stream: where to write; None is standard error.
      quiet: show nothing.
    """

    def __init__(self, steps: int, title: str, stream: TextIO | None = None, quiet: bool = False):
        self._steps = steps
        self._title = title
        self._stream = sys.stderr if stream is None else stream
        self._quiet = quiet
        self._live: Any = None
        self._task: Any = None
        self._latest: dict[str, Any] = {}
        self._printed = 0
        self._first: tuple[float, int] | None = None

    def __enter__(self) -> Progress:
        if not self._quiet and self._stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self._live = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[line]}"),
                console=Console(file=self._stream),
                auto_refresh=False,
            )
            self._live.start()
            self._task = self._live.add_task(self._title, total=self._steps or None, line="compiling ...")
            self._live.refresh()
        elif not self._quiet:
            length = f" {count(self._steps)} steps;" if self._steps else ""
            self._say(f"{self._title}:{length} compiling ...")
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, row: dict[str, Any]) -> None:
        """Takes one row of metrics."""
        if self._quiet:
            return
        kind = row["kind"]
        self._steps = row.get("total", self._steps)
        if kind == "note":
            self._print(f"note: {row['text']}")
            return
        if kind == "evaluating":
            done = f"{row['episodes']} episodes have ended after {count(row['actions'])} actions each"
            line = f"{row['unit']} {count(row['step'])}  evaluating: {done}"
            self._print(line) if self._live is None else self._show(row["step"], line)
            return
        if kind == "resume":
            self._print(f"resumed at {row.get('unit', 'step')} {row['step']}: {row['restored']}")
            if row["lost"]:
                self._print(f"not restored: {row['lost']}")
            return
        if kind == "warning":
            self._print(f"at {row['step']}: {row['refused']} of {row['updates']} updates refused: not finite")
            return
        if kind == "eval":
            mark = "  best so far, saved" if row["best"] else ""
            cut = f", {row['cut']} cut" if row.get("cut") else ""
            self._print(
                f"{count(row['step']):>7}  evaluation: return {row['mean_return']:.1f} "
                f"over {row['episodes']} episodes{cut}{mark}"
            )
            return
        if kind == "epoch":
            self._show(row["step"], self._epoch_line(row))
            return
        if kind == "bandit":
            self._show(row["step"], self._bandit_line(row))
            return
        if kind == "log":
            self._show(row["step"], f"{count(row['step'])}/{count(self._steps)} updates  loss {row['loss']:.3g}")
            return
        now = time.perf_counter()
        self._first = self._first or (now, row["step"])
        if row["mean_return"] == row["mean_return"]:
            self._latest["return"] = row["mean_return"]
        self._show(row["step"], self._line(row, now))

    def _show(self, step: int, line: str) -> None:
        if self._live is not None:
            self._live.update(self._task, completed=step, total=self._steps, line=line)
            self._live.refresh()
        elif step * 20 // self._steps > self._printed:
            self._printed = step * 20 // self._steps
            self._say(f"{count(step):>7}  {line}")

    def _epoch_line(self, row: dict[str, Any]) -> str:
        parts = [f"epoch {row['epoch']}/{self._steps}", f"loss {row['loss']:.3g}"]
        for name, label in (("validation_loss", "validation"), ("match", "match"), ("error", "error")):
            if row[name] == row[name]:
                parts.append(f"{label} {row[name]:.3g}")
        return "  ".join([*parts, f"{row['epoch_seconds']:.1f} s an epoch"])

    def _bandit_line(self, row: dict[str, Any]) -> str:
        parts = [
            f"{count(row['step'])}/{count(self._steps)}",
            f"{row['steps_per_second']:,.0f}/s",
            f"regret {row['regret']:.5g} ({row['relative_regret']:.3g} %)",
            f"greedy {row['greedy_regret']:.5g}",
            f"one arm {row['constant_regret']:.5g}",
            f"uniform {row['uniform_regret']:.5g}",
        ]
        return "  ".join(parts)

    def _line(self, row: dict[str, Any], now: float) -> str:
        assert self._first is not None
        parts = [f"{count(row['step'])}/{count(self._steps)}", f"{row['steps_per_second']:,.0f}/s"]
        if "return" in self._latest:
            parts.append(f"return {self._latest['return']:.1f}")
        if row["epsilon"] is not None:
            parts.append(f"eps {row['epsilon']:.2f}")
        if row["loss"] == row["loss"]:
            parts.append(f"loss {row['loss']:.3g}")
        start, first = self._first
        if row["step"] > first:
            left = (self._steps - row["step"]) * (now - start) / (row["step"] - first)
            parts.append(f"{max(left, 0):.0f} s left")
        return "  ".join(parts)

    def _print(self, text: str) -> None:
        if self._live is not None:
            self._live.console.print(text, highlight=False)
        else:
            self._say(text)

    def _say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)
