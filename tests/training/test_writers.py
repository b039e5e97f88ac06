import json

from jaxdaw.training._writers import MetricsWriter


def test_every_row_is_on_disk_when_write_returns_and_nan_is_null(tmp_path):
    writer = MetricsWriter(tmp_path)
    writer.write({"kind": "train", "loss": float("nan"), "step": 1})
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"kind": "train", "loss": None, "step": 1}
    writer.scalars({"a": 1.0, "b": float("inf")}, 3)
    writer.close()
    assert list((tmp_path / "tensorboard").iterdir())
