"""The picture of regret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jaxdaw.errors import StorageError
from jaxdaw.evaluation import plot_regret


def written(path: Path, seeds: int) -> Path:
    config = {"environment": "wheel", "algorithm": "bandit", "options": {"exploration": "squarecb"}}
    (path / "config.json").write_text(json.dumps(config))
    rows = [
        {"kind": "bandit", "step": step, "regrets": [step * (seed + 1.0) for seed in range(seeds)],
         "greedy_regret": step, "constant_regret": 3 * step, "uniform_regret": 4 * step}
        for step in (10, 20)
    ]  # fmt: skip
    (path / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_run_is_drawn(tmp_path: Path, seeds: int):
    path = plot_regret(written(tmp_path, seeds), tmp_path / "regret.svg")
    drawn = path.read_text()
    assert "cumulative regret" in drawn or path.stat().st_size > 5_000


def test_a_run_without_rounds_is_refused(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(StorageError, match="holds no rounds"):
        plot_regret(tmp_path, tmp_path / "x.png")
