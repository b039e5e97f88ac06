"""What demonstrations hold, in words and in a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.data import Demonstrations

_BINS = 10


def describe_demonstrations(demonstrations: Demonstrations) -> str:
    """Returns a few lines: counts, specs, lengths, returns, how episodes ended, and how often each action was taken."""
    lengths, returns = demonstrations.lengths, demonstrations.returns
    ended = [int(demonstrations.terminated.sum()), int(demonstrations.truncated.sum())]
    lines = [
        f"episodes     {len(demonstrations):,}, of {demonstrations.num_steps:,} steps",
        f"lengths      {_spread(lengths)}",
        f"returns      {'not recorded' if returns is None else _spread(returns)}",
        f"ended        {ended[0]} terminated, {ended[1]} truncated, {len(demonstrations) - sum(ended)} unknown",
        f"observation  {_of(demonstrations.observation_spec)}",
        f"action       {_of(demonstrations.action_spec)}",
    ]
    for path, spec, values in _actions(demonstrations):
        counts, labels = _histogram(values, spec)
        shares = "  ".join(f"{label}: {share:.1%}" for label, share in zip(labels, counts / counts.sum(), strict=True))
        lines.append(f"  {path or 'values'}  {shares}")
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


def _spread(values: np.ndarray) -> str:
    low, median, high = np.min(values), np.median(values), np.max(values)
    return f"{np.mean(values):.1f} on average, median {median:g}, from {low:g} to {high:g}"


def _of(spec: Any) -> str:
    return ", ".join(f"{path} {s.dtype} {s.shape}".strip() for path, s in specs.flatten_with_path(spec))
