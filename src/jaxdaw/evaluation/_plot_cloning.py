"""Plots of a cloning run: losses by epoch, and returns beside the expert's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from jaxdaw.errors import StorageError
from jaxdaw.evaluation._statistics import bootstrap_interval

_BLUE, _GREY, _ORANGE = "#2b6cb0", "#a0aec0", "#c05621"


def plot_cloning(run: str | Path, path: str | Path) -> Path:
    """Draws training and validation loss, and the evaluations if there are any, and returns the path.

    Args:
      run: the run directory of `jaxdaw train bc`.
      path: a .png, .svg or .pdf.

    Raises:
      StorageError: the run has no epochs.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    run, path = Path(run), Path(path)
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    epochs = [row for row in rows if row["kind"] == "epoch"]
    if not epochs:
        raise StorageError(f"{run} holds no epochs", expected="a run of cloning", got=f"{len(rows)} rows")
    evaluations = [row for row in rows if row["kind"] == "eval" and row["policy"] == "now"]
    figure, panels = pyplot.subplots(1, 1 + bool(evaluations), figsize=(5 + 4 * bool(evaluations), 3.8), dpi=150)
    axes = np.atleast_1d(panels)
    _losses(axes[0], epochs)
    if evaluations:
        best = next((row for row in rows if row["kind"] == "eval" and row["policy"] == "best"), None)
        _returns(axes[1], evaluations, best, config["demonstrations"]["mean_return"])
    for axis in axes:
        axis.set_xlabel("epoch")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#edf2f7")
        axis.set_axisbelow(True)
        axis.legend(frameon=False, fontsize=8)
    told = config["demonstrations"]
    where = f" on {config['environment']}" if config["environment"] else ""
    axes[0].set_title(f"BC{where}, {told['episodes']} demonstrations", loc="left", fontsize=11)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
    return path


def _losses(axis: Any, epochs: list[dict[str, Any]]) -> None:
    step = [row["epoch"] for row in epochs]
    axis.plot(step, [row["loss"] for row in epochs], color=_GREY, lw=1.2, label="training")
    if epochs[0]["validation_loss"] is not None:
        values = [row["validation_loss"] for row in epochs]
        axis.plot(step, values, color=_BLUE, lw=1.6, label="validation")
        best = int(np.argmin(values))
        axis.plot(step[best], values[best], "o", color=_BLUE, ms=5, label="saved as best")
    axis.set_ylabel("loss")


def _returns(axis: Any, evaluations: list[dict[str, Any]], best: dict[str, Any] | None, expert: float | None) -> None:
    step = [row["step"] for row in evaluations]
    band = np.array([bootstrap_interval(np.array(row["returns"]), resamples=500) for row in evaluations])
    axis.fill_between(step, band[:, 0], band[:, 1], color=_BLUE, alpha=0.18, lw=0)
    label = f"clone, mean of {evaluations[0]['episodes']} episodes and 95 % interval"
    axis.plot(step, [row["mean_return"] for row in evaluations], color=_BLUE, lw=1.8, marker="o", ms=3, label=label)
    if best is not None:
        axis.axhline(best["mean_return"], color=_ORANGE, lw=1.2, label="best by validation")
    if expert is not None:
        axis.axhline(expert, color=_GREY, lw=1, ls="--", label="demonstrations")
    axis.set_ylabel("return of an episode")
