"""JSON Lines, written by hand: what is read, and what is refused with its lines."""

import json

import numpy as np
import pytest

from data.logs import log, same
from jaxdaw.data import read_decisions
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
