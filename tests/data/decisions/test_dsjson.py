"""dsjson: lines as Vowpal Wabbit's own tests have them, and what is written."""

import contextlib
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.logs import log
from jaxdaw.data import Decisions, read_decisions, write_dsjson
from jaxdaw.errors import SpecError, StorageError

LINE = {
    "_label_cost": -1.0, "_label_probability": 0.75, "_label_Action": 2, "_labelIndex": 1,
    "Timestamp": "2026-01-31T09:00:00.1234567Z", "Version": "1", "EventId": "e1", "a": [2, 1], "p": [0.75, 0.25],
    "c": {"User": {"age": 31, "country": "CH", "_x": 1}, "_multi": [{"Item": {"price": 2}}, {"Item": {"price": 3}}]},
    "VWState": {"m": "model-7"},
}  # fmt: skip


def write(tmp_path, *rows):
    path = tmp_path / "log.dsjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_line_is_read(tmp_path):
    three = LINE | {"EventId": "e2", "a": [1, 2, 3], "p": [0.5, 0.25, 0.25], "_labelIndex": 0, "_label_Action": 1,
                    "_label_probability": 0.5, "_label_cost": 0.0,
                    "c": {"User": {"age": 7, "country": "DE"}, "_multi": [{}, {}, {"Item": {"price": 9}}]}}  # fmt: skip
    found = read_decisions(write(tmp_path, LINE, three))
    assert found.num_arms == 3
    assert found.action.tolist() == [1, 0]
    assert found.reward.tolist() == [1.0, 0.0]
    assert found.probability.tolist() == [0.75, 0.5]
    assert found.probabilities.tolist() == [[0.25, 0.75, 0], [0.5, 0.25, 0.25]]
    assert found.eligible.tolist() == [[True, True, False], [True, True, True]]
    assert {name: leaf.tolist() for name, leaf in found.context.items()} == {
        "User.age": [31, 7],
        "User.country=CH": [1, 0],
        "User.country=DE": [0, 1],
    }
    assert found.arm_features["Item.price"].tolist() == [[2, 3, 0], [0, 0, 9]]
    assert found.decision_id.tolist() == ["e1", "e2"]
    assert found.policy_version.tolist() == ["model-7", "model-7"]
    assert found.time[0] == pytest.approx(1769850000.123456)


def test_arms_that_count_from_0_are_told_by_a_zero(tmp_path):
    # from Vowpal Wabbit's test sets: "a":[0,1]
    found = read_decisions(write(tmp_path, LINE | {"a": [1, 0]}))
    assert found.probabilities.tolist() == [[0.25, 0.75]]


def test_outcomes_that_stand_apart_are_joined(tmp_path):
    late = LINE | {"_label_cost": None}
    found = read_decisions(
        write(tmp_path, late, {"EventId": "e1", "RewardValue": 2.5}, {"EventId": "x", "RewardValue": 1})
    )
    assert found.reward.tolist() == [2.5]
    assert (found.outcomes.joined, found.outcomes.unknown) == (1, 1)


def test_what_was_written_is_read_back(tmp_path):
    wanted = log(30, decision_id=[f"{i}" for i in range(30)], time=1e9 + np.arange(30.0))
    found = read_decisions(write_dsjson(wanted, tmp_path / "log.dsjson"))
    for name in ("action", "reward", "decision_id", "time"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    np.testing.assert_allclose(found.probabilities, wanted.probabilities)
    columns = np.stack([found.context[f"features.x_{i}"] for i in range(3)], axis=1)
    np.testing.assert_array_equal(columns, wanted.context)


def test_arms_that_are_not_eligible_are_left_out(tmp_path):
    wanted = Decisions(
        [2],
        [1.0],
        probabilities=[[0.25, 0.0, 0.75]],
        eligible=[[True, False, True]],
        arm_features=np.array([[1, 2, 3]]),
    )
    (line,) = write_dsjson(wanted, tmp_path / "log").read_text().splitlines()
    row = json.loads(line)
    assert [arm["features"]["x"] for arm in row["c"]["_multi"]] == [1, 3]
    assert (row["_labelIndex"], row["_label_Action"], row["a"], row["p"]) == (1, 2, [2, 1], [0.75, 0.25])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"pdrop": 0.5}, "dropped at random"),
        ({"_outcomes": []}, "several slots"),
        ({"c": {}}, "no arms in c._multi"),
        ({"p": [1.0]}, "no a and p of one length"),
        ({"a": [7, 1]}, "a of [7, 1] among 2 arms"),
        ({"p": [0.5, "x"]}, "probabilities that are no numbers"),
        ({"_label_cost": "x"}, "a cost that is no number"),
        ({"_labelIndex": None, "_label_Action": None}, "no _labelIndex"),
    ],
)
def test_lines_that_are_no_decision_are_refused_by_number(tmp_path, change, text):
    with pytest.raises(StorageError) as raised:
        read_decisions(write(tmp_path, LINE, LINE | change))
    assert "in 1 line (2)" in str(raised.value)
    assert text in str(raised.value)


def test_what_dsjson_cannot_hold_is_refused(tmp_path):
    with pytest.raises(SpecError, match="needs all probabilities"):
        write_dsjson(Decisions([0], [1.0], [0.5]), tmp_path / "log")
    many = LINE | {"c": {"_multi": [{f"f{i}": 1 for i in range(5000)}, {}]}}
    with pytest.raises(SpecError, match="more features than become columns"):
        read_decisions(write(tmp_path, many))


HUGE = int("9" * 400)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_label_cost": HUGE}, "a cost that is no number"),
        ({"_label_cost": "1"}, "a cost that is no number"),
        ({"_label_cost": True}, "a cost that is no number"),
        ({"_label_probability": HUGE}, "probabilities that are no numbers"),
        ({"p": [0.5, HUGE]}, "probabilities that are no numbers"),
        ({"p": [0.5, None]}, "probabilities that are no numbers"),
        ({"a": [1, 1]}, "an arm that stands twice"),
        ({"a": [1, HUGE]}, "a of"),
        ({"a": [[1], 2]}, "a of"),
        ({"_labelIndex": HUGE}, "no _labelIndex"),
        ({"_labelIndex": None, "_label_Action": -HUGE}, "no _labelIndex"),
        ({"EventId": ["e"]}, "an EventId or a VWState.m that is no text"),
        ({"EventId": {"x": 1}}, "an EventId or a VWState.m that is no text"),
        ({"VWState": "m"}, "a VWState that is no object"),
        ({"VWState": {"m": [1]}}, "an EventId or a VWState.m that is no text"),
        ({"c": {"_multi": [{"x": HUGE}, {}]}}, "features that are too large or nested"),
        ({"c": {"_multi": [{}, {}], "x": -HUGE}}, "features that are too large or nested"),
        ({"c": {"_multi": {}}}, "no arms in c._multi"),
        ({"c": {"_multi": []}}, "no arms in c._multi"),
        ({"c": []}, "no arms in c._multi"),
    ],
)
def test_values_that_are_no_decision_are_refused_with_their_line(tmp_path, change, message):
    with pytest.raises(StorageError, match=rf"in 1 line \(2\)(.|\n)*{message}|{message}(.|\n)*in 1 line \(2\)"):
        read_decisions(write(tmp_path, LINE, LINE | change))


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "soon", 7, None, "Infinity"]
)
def test_times_that_no_clock_shows_are_unknown(tmp_path, text):
    found = read_decisions(write(tmp_path, LINE, LINE | {"EventId": "e2", "Timestamp": text}))
    assert np.isfinite(found.time[0])


def test_nests_without_end_are_refused_with_their_line(tmp_path):
    deep = '{"x":' * 300 + "1" + "}" * 300
    line = json.dumps(LINE | {"c": {"_multi": [{}, {}], "DEEP": 1}}).replace('"DEEP": 1', f'"u": {deep}')
    (tmp_path / "log").write_text(json.dumps(LINE) + "\n" + line + "\n")
    with pytest.raises(StorageError, match=r"features that are too large or nested in 1 line \(2\)"):
        read_decisions(tmp_path / "log")


def test_keys_that_stand_twice_are_refused(tmp_path):
    line = json.dumps(LINE).replace('"Version": "1"', '"Version": "1", "_label_cost": 5.0')
    (tmp_path / "log").write_text(line + "\n")
    with pytest.raises(StorageError, match="a key stands twice: '_label_cost'"):
        read_decisions(tmp_path / "log")


def test_one_row_of_many_arms_among_many_rows_is_refused_before_memory_is_taken(tmp_path):
    # 20,000 arms cost 3 bytes each in one row of 2,000: 9 * 2,000 * 20,000 bytes are 360 MB
    wide = LINE | {"c": {"_multi": [{}] * 20_000}}
    with pytest.raises(StorageError, match=r"would take 360,[\d,]+ bytes in memory(.|\n)*split the file"):
        read_decisions(write(tmp_path, wide, *[SHORT] * 1999))


SHORT = {"_label_cost": 0, "_label_probability": 1, "_labelIndex": 0, "a": [1], "p": [1], "c": {"_multi": [{}]}}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda child: (
        st.lists(child, max_size=3) | st.dictionaries(st.sampled_from(["x", "_multi", "m"]), child, max_size=2)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*LINE, "event_id", "pdrop", "RewardValue"]), VALUES, max_size=4))
def test_no_line_raises_anything_but_typed_errors(change):
    with tempfile.TemporaryDirectory() as directory, contextlib.suppress(StorageError, SpecError):
        read_decisions(write(Path(directory), LINE, LINE | change))
