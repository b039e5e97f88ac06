"""Outcomes join by id; what does not join is counted, and a small dictionary is the oracle."""

import numpy as np
import pytest

from jaxdaw.data import Outcomes, OutcomeTable, join_outcomes
from jaxdaw.errors import ConfigError, SpecError

IDS = np.array(["a", "b", "c", "d"])
TIME = np.array([0.0, 10.0, 20.0, 30.0])
NONE = np.full(4, np.nan)


def table(*rows):
    ids, rewards, times = zip(*rows, strict=True)
    return OutcomeTable(np.array(ids), np.array(rewards, float), np.array(times, float))


def test_late_repeated_conflicting_unknown_and_missing_outcomes_are_counted():
    outcomes = table(
        ("a", 1, 5), ("a", 1, 6), ("a", 2, 7), ("b", 3, 100), ("zz", 9, 5), ("c", np.nan, 21), ("c", 4, 22)
    )  # fmt: skip
    reward, told = join_outcomes(IDS, TIME, NONE, outcomes, expiry_s=50)
    np.testing.assert_array_equal(reward, [1, np.nan, np.nan, np.nan])  # b's came after 90 s, c's is NaN, d has none
    assert told == Outcomes(
        joined=2, pending=2, late=1, repeated=2, conflicting=1, unknown=1, unknown_ids=("zz",), not_finite=1
    )._replace(joined=told.joined, pending=told.pending, repeated=told.repeated, conflicting=told.conflicting,
               not_finite=told.not_finite)  # fmt: skip
    assert told.repeated + told.conflicting == 3
    assert told.joined + told.expired + told.pending == 4


def test_the_first_outcome_counts_by_time_and_not_by_place():
    reward, told = join_outcomes(IDS, TIME, NONE, table(("a", 2, 9), ("a", 1, 3)))
    assert reward[0] == 1
    assert (told.joined, told.conflicting, told.pending) == (1, 1, 3)


def test_what_came_with_the_decision_stays():
    reward, told = join_outcomes(IDS, TIME, np.array([5.0, np.nan, np.nan, np.nan]), table(("a", 1, 1), ("b", 2, 11)))
    assert reward[:2].tolist() == [5, 2]
    assert (told.joined, told.conflicting) == (2, 1)


def test_the_default_is_for_decisions_that_have_expired():
    reward, told = join_outcomes(IDS, TIME, NONE, table(("a", 1, 1)), default_reward=-1.0, expiry_s=15, now=40.0)
    np.testing.assert_array_equal(reward, [1, -1, -1, np.nan])  # d was made 10 s ago
    assert (told.joined, told.expired, told.pending) == (1, 2, 1)
    reward, told = join_outcomes(IDS, None, NONE, table(("a", 1, 1)), default_reward=0.0)
    assert reward.tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_joining_agrees_with_a_dictionary(seed):
    random = np.random.default_rng(seed)
    ids = np.array([f"d{i}" for i in random.permutation(200)])
    wanted = random.integers(0, 260, 300)
    outcomes = table(*[(f"d{i}", float(random.integers(3)), float(t)) for t, i in enumerate(wanted)])
    first: dict[str, float] = {}
    for name, value in zip(outcomes.decision_id, outcomes.reward, strict=True):
        first.setdefault(str(name), float(value))
    reward, told = join_outcomes(ids, None, np.full(200, np.nan), outcomes)
    np.testing.assert_array_equal(reward, [first.get(str(name), np.nan) for name in ids])
    assert told.unknown == sum(int(i) >= 200 for i in wanted)
    assert told.joined + told.repeated + told.conflicting + told.unknown == 300
    assert told.pending == 200 - told.joined


def test_ids_that_are_there_twice_cannot_be_joined():
    with pytest.raises(SpecError, match="1 decision ids are there twice"):
        join_outcomes(np.array(["a", "a"]), None, np.full(2, np.nan), table(("a", 1, 1)))
    with pytest.raises(SpecError, match="no decisions to join"):
        join_outcomes(None, None, np.full(2, np.nan), table(("a", 1, 1)))
    with pytest.raises(SpecError, match="needs the times"):
        join_outcomes(IDS, None, NONE, table(("a", 1, 1)), expiry_s=1)
    with pytest.raises(ConfigError, match="expiry_s"):
        join_outcomes(IDS, TIME, NONE, table(("a", 1, 1)), expiry_s=-1)


def test_the_counts_read_well():
    assert str(Outcomes(joined=1200, unknown=2, unknown_ids=("x", "y"))) == "1,200 joined, 2 unknown (x, y)"


def test_long_ids_are_joined(tmp_path):
    ids = [f"{number:040d}" for number in range(1000)]
    order = np.random.default_rng(0).permutation(1000)
    table = OutcomeTable(np.array([ids[at] for at in order]), order.astype(float))
    reward, outcomes = join_outcomes(np.array(ids), None, np.full(1000, np.nan), table)
    assert outcomes.joined == 1000
    assert reward.tolist() == list(range(1000))
