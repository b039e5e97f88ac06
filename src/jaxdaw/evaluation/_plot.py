"""Plots of learning curves: one run with an interval, or the IQM over seeds with a bootstrap band."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxdaw.errors import StorageError
from jaxdaw.evaluation._statistics import bootstrap_interval, iqm

_BLUE, _GREY = "#2b6cb0", "#a0aec0"


def plot_learning_curves(runs: Sequence[str | Path], path: str | Path) -> Path:
    """Draws the learning curves of runs and returns the path.

    Args:
      runs: run directories; one that holds `seed_*` stands for all of them.
      path: a .png, .svg or .pdf.

    Raises:
      StorageError: a run without metrics.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter

    directories = [member for run in runs for member in _members(Path(run))]
    rows = [_read(directory) for directory in directories]
    figure, axes = pyplot.subplots(figsize=(7, 4.2), dpi=150)
    curves = [_curve(r) for r in rows]
    if len(curves) == 1:
        _one(axes, rows[0], curves[0])
    else:
        _several(axes, curves)
    config = json.loads((directories[0] / "config.json").read_text(encoding="utf-8"))
    threshold = _threshold(config["environment"])
    if threshold is not None:
        axes.axhline(threshold, color=_GREY, lw=1, ls="--", zorder=1)
        axes.annotate("solved", (1, threshold), xycoords=("axes fraction", "data"), xytext=(-4, 3),
                      textcoords="offset points", ha="right", color="#718096", fontsize=8)  # fmt: skip
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return of an episode")
    axes.set_title(f"{config['algorithm'].upper()} on {config['environment']}", loc="left", fontsize=11)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}"))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#edf2f7")
    axes.set_axisbelow(True)
    axes.set_xlim(left=0)
    axes.legend(frameon=False, fontsize=8, loc="best")
    figure.tight_layout()
    path = Path(path)
    figure.savefig(path)
    pyplot.close(figure)
    return path


def _one(axes: Any, rows: list[dict[str, Any]], curve: tuple[np.ndarray, list[np.ndarray]]) -> None:
    train = [(r["step"], r["mean_return"]) for r in rows if r["kind"] == "train" and r["mean_return"] is not None]
    if train:
        axes.plot(*np.array(train).T, color=_GREY, lw=1, label="training, with exploration")
    steps, returns = curve
    if len(steps):
        band = np.array([bootstrap_interval(r, resamples=500) for r in returns])
        axes.fill_between(steps, band[:, 0], band[:, 1], color=_BLUE, alpha=0.18, lw=0)
        axes.plot(steps, [r.mean() for r in returns], color=_BLUE, lw=1.8, marker="o", ms=3,
                  label=f"greedy, mean of {len(returns[0])} episodes and 95 % interval")  # fmt: skip


def _several(axes: Any, curves: list[tuple[np.ndarray, list[np.ndarray]]]) -> None:
    points = min(len(steps) for steps, _ in curves)
    if not points:
        raise StorageError("the runs hold no evaluations to compare", fix="jaxdaw train dqn ENV --eval-every 2500")
    steps = np.mean([steps[:points] for steps, _ in curves], axis=0)
    means = np.array([[r.mean() for r in returns[:points]] for _, returns in curves])
    for member in means:
        axes.plot(steps, member, color=_GREY, lw=0.6, alpha=0.5)
    band = np.array([bootstrap_interval(column, iqm, resamples=1000) for column in means.T])
    axes.fill_between(steps, band[:, 0], band[:, 1], color=_BLUE, alpha=0.2, lw=0)
    axes.plot(steps, iqm(means, axis=0), color=_BLUE, lw=2, label=f"IQM over {len(means)} seeds and 95 % interval")


def _members(run: Path) -> list[Path]:
    members = sorted(run.glob("seed_*"), key=lambda p: int(p.name[5:]) if p.name[5:].isdigit() else 0)
    return members or [run]


def _read(directory: Path) -> list[dict[str, Any]]:
    path = directory / "metrics.jsonl"
    rows = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break  # an incomplete last line: the run is still being written
    if not rows:
        raise StorageError(
            f"{directory} holds no metrics",
            expected="metrics.jsonl with rows",
            got="none",
            fix="jaxdaw train dqn ENVIRONMENT",
        )
    return rows


def _curve(rows: list[dict[str, Any]]) -> tuple[np.ndarray, list[np.ndarray]]:
    found = [r for r in rows if r["kind"] == "eval"]
    return np.array([r["step"] for r in found]), [np.array(r["returns"]) for r in found]


def _threshold(environment: str) -> float | None:
    import gymnasium

    spec = gymnasium.registry.get(environment.removeprefix("jax:"))
    return None if spec is None else spec.reward_threshold
