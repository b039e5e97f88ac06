"""Summaries of demonstrations as text and as a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.data import Demonstrations, summary

_BINS = 10


def describe_demonstrations(demonstrations: Demonstrations) -> str:
    """Returns `data.summary` in a few lines: counts, specs, lengths, returns, endings, and the actions taken."""
    told = summary(demonstrations)
    lines = [
        f"episodes     {told['num_episodes']:,}, of {told['num_steps']:,} steps",
        f"lengths      {_spread(told['lengths'])}",
        f"returns      {'not recorded' if told['returns'] is None else _spread(told['returns'])}",
        f"ended        {', '.join(f'{count} {name}' for name, count in told['endings'].items())}",
        f"observation  {_of(demonstrations.observation_spec)}",
        f"action       {_of(demonstrations.action_spec)}",
    ]
    for path, figures in told["actions"].items():
        if "mean" in figures:
            entries = [f"{name} {np.round(value, 3).tolist()}" for name, value in figures.items()]
        else:
            entries = [f"{value}: {count / told['num_steps']:.1%}" for value, count in figures.items()]
        lines.append(f"  {path or 'values'}  {'  '.join(entries)}")
    return "\n".join(lines)


def plot_demonstrations(demonstrations: Demonstrations, path: str | Path) -> Path:
    """Draws the distributions of returns, lengths and actions, and returns the path of the picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels: list[tuple[str, np.ndarray]] = [("length of an episode", demonstrations.lengths)]
    if demonstrations.returns is not None:
        panels.insert(0, ("return of an episode", demonstrations.returns))
    actions = _actions(demonstrations)
    figure, axes = pyplot.subplots(1, len(panels) + len(actions), figsize=(3.4 * (len(panels) + len(actions)), 3))
    for axis, (label, values) in zip(np.ravel(axes), panels, strict=False):
        axis.hist(values, bins=20, color="#2b6cb0")
        axis.set_xlabel(label)
        axis.set_ylabel("episodes")
    for axis, (leaf, spec, values) in zip(np.ravel(axes)[len(panels) :], actions, strict=True):
        counts, labels = _histogram(values, spec)
        axis.bar(range(len(counts)), counts / counts.sum(), color="#2b6cb0")
        axis.set_xticks(range(len(counts)), labels, rotation=0 if specs.is_discrete(spec) else 60, fontsize=7)
        axis.set_xlabel(f"action{leaf}")
        axis.set_ylabel("share")
    for axis in np.ravel(axes):
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(Path(path), dpi=150)
    pyplot.close(figure)
    return Path(path)


def _actions(demonstrations: Demonstrations) -> list[tuple[str, specs.TensorSpec, np.ndarray]]:
    nests = [specs.flatten(episode.action) for episode in demonstrations]
    leaves = specs.flatten_with_path(demonstrations.action_spec)
    return [
        (path, spec, np.concatenate([np.ravel(nest[index]) for nest in nests]))
        for index, (path, spec) in enumerate(leaves)
    ]


def _histogram(values: np.ndarray, spec: specs.TensorSpec) -> tuple[np.ndarray, list[str]]:
    if specs.is_discrete(spec):
        found, counts = np.unique(values, return_counts=True)
        return counts, [str(value) for value in found]
    counts, edges = np.histogram(values, bins=_BINS)
    return counts, [f"{low:.3g}" for low in edges[:-1]]


def _spread(figures: dict[str, float]) -> str:
    return "{mean:.1f} on average, median {median:g}, from {min:g} to {max:g}".format(**figures)


def _of(spec: Any) -> str:
    return ", ".join(f"{path} {s.dtype} {s.shape}".strip() for path, s in specs.flatten_with_path(spec))
