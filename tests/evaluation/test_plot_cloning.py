"""The picture of a cloning run; tests/training/test_clone.py draws a whole one."""

import json

import pytest

from jaxdaw.errors import StorageError
from jaxdaw.evaluation import plot_cloning


def test_a_run_without_validation_or_environment_is_drawn(tmp_path):
    row = {"kind": "epoch", "epoch": 1, "loss": 0.5, "validation_loss": None}
    config = {"environment": "", "demonstrations": {"episodes": 3, "mean_return": None}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    assert plot_cloning(tmp_path, tmp_path / "curve.png").exists()


def test_a_run_without_epochs_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"environment": "", "demonstrations": {}}))
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(StorageError, match="holds no epochs"):
        plot_cloning(tmp_path, tmp_path / "curve.png")
