"""A log is told by its contents."""

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from data.logs import log, same
from jaxdaw import specs
from jaxdaw.data import DecisionWriter, read_decisions
from jaxdaw.errors import SpecError, StorageError

SPEC = specs.TensorSpec((3,), "float32")


def test_each_kind_is_recognised_whatever_its_name(tmp_path):
    wanted = log(30, decision_id=[f"{i}" for i in range(30)], eligible=np.ones((30, 4), bool))
    with DecisionWriter(tmp_path / "log", 4, SPEC) as writer:
        writer.extend(wanted)
    same(read_decisions(tmp_path / "log"), wanted)
    part = next((tmp_path / "log").glob("*.parquet"))
    part.rename(tmp_path / "x.csv")
    same(read_decisions(tmp_path / "x.csv"), wanted)


def test_parquet_of_another_writer_is_read_by_its_columns(tmp_path):
    table = pyarrow.table(
        {"action": [0, 1], "probability": [0.5, 0.25], "reward": [1, None], "context.x": [1.0, 2.0],
         "context.y": pyarrow.array([[1, 2], [3, 4]])}
    )  # fmt: skip
    parquet.write_table(table, tmp_path / "log")
    found = read_decisions(tmp_path / "log")
    assert found.context["x"].tolist() == [1, 2]
    assert found.context["y"].tolist() == [[1, 2], [3, 4]]
    assert found.outcomes.pending == 1
    assert found.probability.tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"arm": [0, 1]}, "holds no decisions"),
        ({"action": ["0", "1"]}, "column 'action' holds something else"),
        ({"action": [0, None]}, "column 'action' holds something else"),
        ({"action": [0, 1], "probability": ["0.5", "x"]}, "column 'probability' holds something else"),
        ({"action": [0, 1], "decision_id": [1, 2]}, "column 'decision_id' holds something else"),
        ({"action": [0, 1], "context": ["a", "b"]}, "column 'context' holds something else"),
        ({"action": [0, 1], "context": [[1], [1, 2]]}, "column 'context' holds something else"),
        ({"action": [0, 1], "probabilities": [[0.5, None], [0.5, 0.5]]}, "column 'probabilities' holds something else"),
    ],
)
def test_parquet_with_columns_of_other_types_is_refused(tmp_path, columns, text):
    parquet.write_table(pyarrow.table(columns), tmp_path / "log")
    with pytest.raises(StorageError, match=text):
        read_decisions(tmp_path / "log")


def test_what_is_no_log_is_refused(tmp_path):
    with pytest.raises(StorageError, match="there is no"):
        read_decisions(tmp_path / "none")
    with pytest.raises(StorageError, match="holds no log"):
        read_decisions(tmp_path)
    for name, contents in {"empty": b"", "text": b"a,b\n1,2\n", "pickle": b"\x80\x04K\x01."}.items():
        (tmp_path / name).write_bytes(contents)
        with pytest.raises(StorageError, match="is empty" if name == "empty" else "holds no log"):
            read_decisions(tmp_path / name)
    (tmp_path / "cut").write_bytes(b"PAR1" + b"\0" * 100)
    with pytest.raises(StorageError, match="truncated or damaged"):
        read_decisions(tmp_path / "cut")
    large = tmp_path / "large"
    large.write_text('{"action": 0}\n')
    with pytest.raises(StorageError, match="more than may be read"):
        read_decisions(large, limit_bytes=3)


def test_an_empty_log_is_read_and_told_by_the_check(tmp_path):
    DecisionWriter(tmp_path / "log", 4, SPEC).close()
    found = read_decisions(tmp_path / "log")
    assert (len(found), found.num_arms) == (0, 4)


def test_parts_of_several_columns_are_refused(tmp_path):
    with DecisionWriter(tmp_path / "log", 4, SPEC, part_rows=1) as writer:
        writer.add(0, context=np.zeros(3, "float32"), probability=0.5)
        writer.add(0, context=np.zeros(3, "float32"), probabilities=[0.25] * 4)
    with pytest.raises(SpecError, match="probabilities is in some parts"):
        read_decisions(tmp_path / "log")
