"""Plots of the regret of a bandit run beside its baselines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from jaxdaw.errors import StorageError
from jaxdaw.evaluation._statistics import bootstrap_interval

_BLUE, _GREY, _ORANGE, _GREEN = "#2b6cb0", "#a0aec0", "#c05621", "#2f855a"


def plot_regret(run: str | Path, path: str | Path) -> Path:
    """Draws cumulative regret over rounds, with a 95 % interval over seeds if there are several, and returns the path.

    Beside it stand what uniform choice and the best single action would have lost, and what the model's best actions
    alone would have: the difference to the latter is the price of exploring.

    Args:
      run: the run directory of `jaxdaw train bandit`.
      path: a .png, .svg or .pdf.

    Raises:
      StorageError: the run has no rounds.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    run, path = Path(run), Path(path)
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    lines = run / "metrics.jsonl"
    told = lines.read_text(encoding="utf-8").splitlines() if lines.is_file() else []
    rows = [row for row in map(json.loads, told) if row["kind"] == "bandit"]
    if not rows:
        raise StorageError(f"{run} holds no rounds", expected="a run of a bandit", got=f"{len(told)} rows")
    figure, axes = pyplot.subplots(figsize=(7, 4.2), dpi=150)
    steps = _column(rows, "step")
    axes.plot(steps, _column(rows, "uniform_regret"), color=_GREY, lw=1, ls=":", label="uniform")
    axes.plot(steps, _column(rows, "constant_regret"), color=_GREY, lw=1, ls="--", label="best single action")
    axes.plot(steps, _column(rows, "greedy_regret"), color=_GREEN, lw=1.2, label="the model's best actions alone")
    regrets = np.array([row["regrets"] for row in rows])
    seeds = regrets.shape[1]
    label = config["options"]["exploration"].replace("_", " ")
    if seeds > 1:
        band = np.array([bootstrap_interval(member, resamples=500) for member in regrets])
        axes.fill_between(steps, band[:, 0], band[:, 1], color=_BLUE, alpha=0.2, lw=0)
        label += f", mean of {seeds} seeds and 95 % interval"
    axes.plot(steps, regrets.mean(axis=1), color=_BLUE, lw=1.8, label=label)
    axes.set_ylim(0, max(1.25 * regrets.mean(axis=1)[-1], min(1.05 * rows[-1]["constant_regret"], 1e30)))
    axes.set_xlim(0, steps[-1])
    axes.set_xlabel("rounds")
    axes.set_ylabel("cumulative regret")
    axes.set_title(f"{config['environment']}, {rows[-1]['step']:,} rounds", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#edf2f7")
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
    return path


def _column(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([row[name] for row in rows])
