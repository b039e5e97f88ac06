"""JSON Lines, written by hand: what is read, and what is refused with its lines."""

import contextlib
import json
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.logs import log, same
from jaxdaw.data import read_decisions
from jaxdaw.data.decisions._columns import COLUMN
from jaxdaw.data.decisions._jsonl import decision_rows, write_rows
from jaxdaw.errors import SpecError, StorageError
from jaxdaw.specs import TensorSpec


def lines(tmp_path, *rows, name="log.jsonl"):
    path = tmp_path / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_decisions_and_outcomes_are_read(tmp_path):
    path = lines(
        tmp_path,
        {"decision_id": "a", "time": 1, "policy_version": "v", "context": {"age": 31, "clicks": [0.5, 2]},
         "eligible": [0, 2], "probabilities": [0.75, 0.25], "action": 2},
        {"decision_id": "a", "reward": 1.5, "time": 9},
        {"decision_id": "b", "time": 2, "policy_version": "v", "context": {"age": 7, "clicks": [1, 1]},
         "probabilities": [0.5, 0.25, 0.25], "action": 0, "reward": 0},
        {"decision_id": "zz", "reward": 1.5, "time": 9},
    )  # fmt: skip
    found = read_decisions(path)
    assert found.num_arms == 3
    assert found.eligible.tolist() == [[True, False, True], [True, True, True]]
    assert found.probabilities.tolist() == [[0.75, 0, 0.25], [0.5, 0.25, 0.25]]
    assert found.probability.tolist() == [0.25, 0.5]
    assert found.reward.tolist() == [1.5, 0]
    assert found.context["age"].dtype.kind == "i"
    assert found.context["clicks"].dtype == np.float32
    assert (found.outcomes.joined, found.outcomes.unknown, found.outcomes.unknown_ids) == (2, 1, ("zz",))


def test_an_eligible_mask_goes_with_probabilities_of_all_arms(tmp_path):
    found = read_decisions(
        lines(tmp_path, {"action": 1, "eligible": [False, True], "probabilities": [0, 1], "probability": 1.0})
    )
    assert found.eligible.tolist() == [[False, True]]
    assert found.probabilities.tolist() == [[0, 1]]


def test_what_was_written_is_read_back(tmp_path):
    wanted = log(
        20, eligible=np.ones((20, 4), bool), decision_id=[f"d{i}" for i in range(20)], time=np.arange(20.0),
        policy_version=["é"] * 20, arm_features={"price": np.arange(80, dtype=np.float32).reshape(20, 4)},
        reward=np.where(np.arange(20) % 3, 1.0, np.nan),
    )  # fmt: skip
    path = tmp_path / "log.jsonl"
    with path.open("wb") as file:
        write_rows(file, decision_rows(wanted))
    same(read_decisions(path), wanted)


def test_an_unfinished_last_line_is_left_out_and_told(tmp_path):
    path = lines(tmp_path, {"action": 0, "probability": 0.5}, {"action": 1, "probability": 0.5})
    with path.open("a") as file:
        file.write('{"action": 1, "prob')
    found = read_decisions(path)
    assert (len(found), found.outcomes.unfinished) == (2, True)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (["{", {"action": 0}], "no JSON objects in 1 line (1)"),
        ([{"action": 0}, [1], "3"], "no JSON objects in 2 lines (2, 3)"),
        ([{"action": 0}, {"action": "1"}], "something else than integers in 'action' in 1 line (2)"),
        ([{"action": 0}, {"action": 1.0}, {"action": True}], "integers in 'action' in 2 lines (2, 3)"),
        (
            [{"action": 0, "probability": 0.5}, {"action": 0, "probability": "0.5"}],
            "numbers in 'probability' in 1 line (2)",
        ),
        ([{"action": 0, "reward": [1]}], "numbers in 'reward' in 1 line (1)"),
        ([{"action": 0, "decision_id": "a"}, {"action": 0, "decision_id": 7}], "text in 'decision_id' in 1 line (2)"),
        ([{"action": 0, "context": [1, 2]}, {"action": 0, "context": [1, "2"]}], "in 'context' in 1 line (2)"),
        ([{"action": 0, "context": [1, 2]}, {"action": 0, "context": [1]}], "in 'context' in 1 line (2)"),
        (
            [{"action": 0, "context": {"a": 1}}, {"action": 0, "context": {"b": 1}}],
            "the keys a in 'context' in 1 line (2)",
        ),
        ([{"action": 0, "context": {"a": 1}}, {"action": 0}], "in 'context' in 1 line (2)"),
        ([{"action": 0, "context": {"a": 1}}, {"action": 0, "context": {"a": True}}], "in 'context.a' in 1 line (2)"),
        ([{"action": 0, "context": {"a": "x"}}], "in 'context.a' in 1 line (1)"),
        ([{"action": 0, "eligible": [0, "1"]}], "in 'eligible' in 1 line (1)"),
        ([{"action": 0, "eligible": [0, -1]}], "eligible arms that do not exist in 1 line (1)"),
        ([{"action": 0, "eligible": [0, 1], "probabilities": [1.0]}], "in 'probabilities' in 1 line (1)"),
        ([{"action": 0, "probabilities": [1.0]}, {"action": 0}], "in 'probabilities' in 1 line (2)"),
        ([{"action": 0, "acton": 1}], "unknown fields in 1 line (1)"),
        ([{"action": 0}, {"reward": 1.0}], "neither a decision nor an outcome in 1 line (2)"),
    ],
)
def test_lines_that_are_no_column_are_refused_by_number(tmp_path, rows, text):
    with pytest.raises(StorageError) as raised:
        read_decisions(lines(tmp_path, *rows))
    assert text in str(raised.value)


@pytest.mark.parametrize(
    "line",
    [
        '{"action": 100000000000000000000}',
        '{"action": 0, "eligible": [0, 4000000000]}',
        '{"action": 0, "reward": 1' + "0" * 400 + "}",
        '{"action": 0, "context": ' + "[" * 900 + "1" + "]" * 900 + "}",
        '{"action": 0, "context": ' + '{"a":' * 900 + "1" + "}" * 900 + "}",
    ],
)
def test_numbers_and_nests_that_are_too_large_are_refused(tmp_path, line):
    with pytest.raises((StorageError, SpecError)):
        read_decisions(lines(tmp_path, line))


def test_a_given_spec_decides_what_is_an_array(tmp_path):
    path = lines(tmp_path, {"action": 0, "context": [1, 2]}, {"action": 0, "context": [3, 4]})
    pair = (TensorSpec((), "float32"), TensorSpec((), "int64"))
    found = read_decisions(path, context_spec=pair)
    assert found.context_spec == pair
    assert [leaf.tolist() for leaf in found.context] == [[1, 3], [2, 4]]
    with pytest.raises(SpecError, match="context"):
        read_decisions(path, context_spec=TensorSpec((3,), "float32"))
    with pytest.raises(SpecError, match="has no arm_features"):
        read_decisions(path, arm_features_spec=TensorSpec((3,), "float32"))


def test_nan_is_read_and_is_for_the_check(tmp_path):
    found = read_decisions(lines(tmp_path, '{"action": 0, "probability": NaN, "reward": NaN}'))
    assert np.isnan(found.probability[0])
    assert found.outcomes.pending == 1


# What a file may do to the memory, and to the reader.


def peak_of(read) -> int:
    """Returns the most bytes that a call held at once."""
    tracemalloc.start()
    try:
        with contextlib.suppress(StorageError, SpecError):
            read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


LONG = "x" * 1_000_000


@pytest.mark.parametrize(
    "rows",
    [
        [{"action": 999_999, "eligible": [999_999]}] * 1000,
        [{"action": 0, "probabilities": [1.0], "eligible": [0]}] * 999 + [{"action": 999_999, "eligible": None}],
        [{"action": 0, "decision_id": LONG}, *({"action": 0, "decision_id": str(i)} for i in range(400))],
        [{"action": 0, "policy_version": LONG}, *({"action": 0, "policy_version": "v"} for _ in range(400))],
        [{"action": 0, "context": LONG}, *({"action": 0, "context": "y"} for _ in range(400))],
        [{"action": 0, "context": {"x": [LONG, *["y"] * 400]}}],
        [{"decision_id": LONG, "reward": 1}, *({"decision_id": str(i), "reward": 1} for i in range(400))],
        [{"action": 0, LONG: 1}],
        [{"action": 0, "context": [[0.0] * 1000]}, *({"action": 0, "context": [[0.0]]} for _ in range(400))],
    ],
    ids=["arms", "all arms", "id", "version", "context", "list", "outcome", "name", "ragged"],
)
def test_memory_is_bounded_by_the_size_of_the_file(tmp_path, rows):
    (tmp_path / "log").write_text("".join(json.dumps(row) + "\n" for row in rows))
    size = (tmp_path / "log").stat().st_size
    assert peak_of(lambda: read_decisions(tmp_path / "log")) < 20e6 + 40 * size


def test_arms_by_their_ids_are_refused_with_what_to_do(tmp_path):
    (tmp_path / "log").write_text('{"action": 999999, "eligible": [999999]}\n' * 1000)
    message = r"would take 1,000,000,000 bytes(.|\n)*num_arms=1000000 \(--arms 1000000\)"
    with pytest.raises(StorageError, match=message):
        read_decisions(tmp_path / "log")
    with pytest.raises(StorageError, match="holds more than may be read into memory"):
        read_decisions(tmp_path / "log", num_arms=1_000_000, limit_bytes=2**24)
    (tmp_path / "few").write_text('{"action": 999999, "eligible": [999999]}\n' * 3)
    assert read_decisions(tmp_path / "few").num_arms == 1_000_000


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"action": 0, "action": 1}', r"no JSON objects in 1 line \(2\)(.|\n)*a key stands twice: 'action'"),
        ('{"action": 0, "context": {"x": 1, "x": 2}}', "a key stands twice: 'x'"),
        ('{"action": 0, "propensity": 0.5}', "unknown fields(.|\n)*name it 'probability' if 'propensity' is with"),
        ('{"action": 0, "weather": 1}', "unknown fields in 1 line"),
        ('{"decision_id": "a", "reward": 1, "probability": 0.5}', "unknown fields in 1 line"),
        ('{"action": ' + "9" * 400 + "}", "names more arms than can be"),
        ('{"action": 1e3}', "something else than integers in 'action'"),
        ('{"action": true}', "something else than integers in 'action'"),
        ('{"action": 0, "reward": ' + "9" * 400 + "}", r"too large in 1 line \(2\)"),
        ('{"action": 0, "time": -' + "9" * 400 + "}", r"too large in 1 line \(2\)"),
        ('{"action": 0, "eligible": [' + "9" * 30 + "]}", "names more arms than can be"),
        ('{"action": 0, "eligible": [-' + "9" * 30 + "]}", r"too large in 1 line \(2\)"),
        ('{"action": 0, "eligible": [-1]}', "eligible arms that do not exist"),
        ('{"action": 0, "probabilities": [' + "9" * 400 + "]}", "a list of numbers for every"),
        ('{"action": 0, "context": ' + "9" * 30 + "}", "numbers of one shape"),
        ('{"action": 0, "context": [9223372036854775808, -1]}', ""),
        ('{"action": 0, "context": {"x": [[1], [1, 2]]}}', "numbers of one shape"),
        ('{"action": 0, "context": ' + "[" * 40 + "1" + "]" * 40 + "}", r"too large in 1 line \(2\)"),
        ('{"action": 0, "context": ' + "[" * 5000 + "]" * 5000 + "}", "no JSON objects"),
        ('{"action": 0, "context": ' + '{"x":' * 200 + "1" + "}" * 200 + "}", "numbers of one shape"),
        ('{"action": 0, "decision_id": ["a"]}', "something else than text in 'decision_id'"),
        ("[" * 100_000, "no JSON objects"),
        ('{"action": 0} {"action": 1}', "no JSON objects"),
    ],
)
def test_lines_that_are_no_decisions_are_refused_with_their_numbers(tmp_path, line, message):
    (tmp_path / "log").write_text('{"action": 0}\n' + line + "\n", encoding="utf-8")
    if message:
        with pytest.raises(StorageError, match=message):
            read_decisions(tmp_path / "log")
    else:
        with contextlib.suppress(StorageError):
            read_decisions(tmp_path / "log")


@pytest.mark.parametrize(
    "field", ['"probabilities": [' + "9" * 400 + "]", '"context": ' + '{"x":' * 120 + "1" + "}" * 120]
)
def test_extreme_values_in_every_line_are_refused_with_their_numbers(tmp_path, field):
    (tmp_path / "log").write_text('{"action": 0, ' + field + "}\n")
    with pytest.raises(StorageError, match=r"too large in 1 line \(1\)"):
        read_decisions(tmp_path / "log")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3),
    lambda child: st.lists(child, max_size=3) | st.dictionaries(st.sampled_from("xy"), child, max_size=2),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.sampled_from([*COLUMN, "odd"]), VALUES, max_size=5), max_size=3))
def test_no_line_raises_anything_but_typed_errors(rows):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "log"
        path.write_text('{"action": 0}\n' + "".join(json.dumps(row) + "\n" for row in rows))
        with contextlib.suppress(StorageError, SpecError):
            read_decisions(path)
