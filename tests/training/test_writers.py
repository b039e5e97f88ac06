import json

from jaxdaw.training._writers import MetricsWriter


def test_every_row_is_on_disk_when_write_returns_and_nan_is_null(tmp_path):
    writer = MetricsWriter(tmp_path)
    writer.write({"kind": "train", "loss": float("nan"), "step": 1})
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"kind": "train", "loss": None, "step": 1}
    writer.scalars({"a": 1.0, "b": float("inf")}, 3)
    writer.close()
    assert list((tmp_path / "tensorboard").iterdir())


def test_the_position_after_going_back_is_the_end_of_the_file(tmp_path):
    writer = MetricsWriter(tmp_path)
    writer.write({"kind": "train", "step": 1})
    kept = writer.position
    writer.write({"kind": "train", "step": 2})
    writer.go_back(kept, 1)
    assert writer.position == kept  # a checkpoint may come before the next row
    writer.write({"kind": "train", "step": 3})
    assert writer.position == (tmp_path / "metrics.jsonl").stat().st_size
    writer.close()
