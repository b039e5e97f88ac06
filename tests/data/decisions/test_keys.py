"""Keys of decisions: the same whenever a log is read, and each decision's own."""

from __future__ import annotations

import numpy as np
import pytest

from jaxdaw.data import Decisions, read_decisions, write_decisions


def log(count: int = 200, **columns) -> Decisions:
    random = np.random.default_rng(0)
    context = random.integers(0, 2, (count, 1)).astype(np.float32)  # few contexts, so that many rows are equal
    return Decisions(random.integers(0, 2, count), random.random(count), np.full(count, 0.5), context, **columns)


def test_equal_rows_have_keys_of_their_own_and_a_part_keeps_them():
    decisions = log()
    assert len(np.unique(decisions.keys)) == 200
    rows = np.flatnonzero(decisions.action == 1)
    np.testing.assert_array_equal(decisions.select(rows).keys, decisions.keys[rows])
    np.testing.assert_array_equal(decisions.select(rows).select(slice(3, 9)).keys, decisions.keys[rows][3:9])
    np.testing.assert_array_equal(decisions.replace(context=()).keys, decisions.keys)
    assert len(decisions.select([]).keys) == 0


def test_a_log_that_grew_keeps_the_keys_of_what_was_there():
    whole = log()
    earlier = Decisions(whole.action[:120], whole.reward[:120], whole.probability[:120], whole.context[:120])
    np.testing.assert_array_equal(whole.keys[:120], earlier.keys)


def test_a_reward_that_comes_later_changes_no_key():
    decisions = log()
    later = Decisions(decisions.action, None, decisions.probability, decisions.context)
    np.testing.assert_array_equal(decisions.keys, later.keys)


def test_ids_alone_make_the_keys_where_there_are_any():
    ids = [f"id {index}" for index in range(200)]
    one, other = log(decision_id=ids), log(decision_id=ids[::-1])
    np.testing.assert_array_equal(one.keys, other.keys[::-1])
    assert not np.isin(one.keys, log().keys).any()


@pytest.mark.parametrize("name", ["log.jsonl", "log"])
@pytest.mark.parametrize("columns", [{}, {"time": np.arange(200) / 7}, {"decision_id": list(map(str, range(200)))}])
def test_keys_are_the_same_after_writing_and_reading(name: str, columns: dict, tmp_path):
    decisions = log(**columns)
    path = write_decisions(decisions, tmp_path / name)
    np.testing.assert_array_equal(read_decisions(path).keys, read_decisions(path).keys)
    read = read_decisions(path)
    if read.decision_id is None or decisions.decision_id is not None:
        np.testing.assert_array_equal(read.keys, decisions.keys)
