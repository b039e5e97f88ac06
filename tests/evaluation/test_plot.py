import json

import numpy as np
import pytest

from jaxdaw.errors import StorageError
from jaxdaw.evaluation import plot_learning_curves


def write_run(directory, offset=0.0, environment="CartPole-v1", evaluations=4):
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps({"algorithm": "dqn", "environment": environment}))
    random = np.random.default_rng(int(offset))
    rows = []
    for step in range(1_000, 1_000 * (evaluations + 1), 1_000):
        rows.append({"kind": "train", "step": step, "mean_return": 20.0 + step / 100})
        returns = (50 + offset + step / 50 + random.normal(size=5)).tolist()
        rows.append({"kind": "eval", "step": step, "returns": returns})
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"kind": "tra')
    return directory


def test_one_run_is_drawn_with_its_units_and_a_half_written_line_is_ignored(tmp_path):
    path = plot_learning_curves([write_run(tmp_path / "run")], tmp_path / "curve.svg")
    text = path.read_text()
    assert "<svg" in text
    assert plot_learning_curves([tmp_path / "run"], tmp_path / "curve.png").read_bytes()[1:4] == b"PNG"


def test_several_seeds_become_one_curve(tmp_path):
    for seed in range(3):
        write_run(tmp_path / "many" / f"seed_{seed}", offset=10.0 * seed)
    assert plot_learning_curves([tmp_path / "many"], tmp_path / "many.png").stat().st_size > 5_000


def test_a_run_without_metrics_or_evaluations_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageError, match="holds no metrics"):
        plot_learning_curves([tmp_path / "empty"], tmp_path / "x.png")
    runs = [write_run(tmp_path / name, evaluations=0) for name in ("a", "b")]
    for run in runs:
        (run / "metrics.jsonl").write_text('{"kind": "train", "step": 1, "mean_return": null}\n')
    with pytest.raises(StorageError, match="no evaluations"):
        plot_learning_curves(runs, tmp_path / "x.png")
