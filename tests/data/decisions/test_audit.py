"""An audit passes honest logs and fails those with a planted lie; SciPy's tests are the oracle of the statistics."""

import json

import numpy as np
import pytest
from scipy import stats

from data.logs import log
from jaxdaw.data import Decisions, audit
from jaxdaw.errors import ConfigError


def statuses(found):
    return {check.name: check.status for check in found.checks}


def test_an_honest_log_passes():
    found = audit(log())
    assert found.passed
    assert statuses(found) == {
        "arm frequencies": "pass", "calibration": "pass", "mean weight": "pass", "support": "pass",
        "sample ratio": "skip", "missing outcomes": "pass",
    }  # fmt: skip
    assert "the log passes" in str(found)


def test_frequencies_of_constant_probabilities_are_pearsons_test():
    random = np.random.default_rng(0)
    p = np.array([0.5, 0.3, 0.2])
    action = random.choice(3, 500, p=p)
    check = audit(Decisions(action, probabilities=np.tile(p, (500, 1)))).checks[0]
    wanted = stats.chisquare(np.bincount(action, minlength=3), 500 * p)
    assert check.statistic == pytest.approx(wanted.statistic)
    assert check.p_value == pytest.approx(wanted.pvalue)


def test_sample_ratio_is_pearsons_test():
    versions = np.array(["a"] * 520 + ["b"] * 480)
    decisions = Decisions([0, 1] * 500, probability=np.full(1000, 0.5), policy_version=versions)
    check = audit(decisions, expected_shares={"a": 1, "b": 1}).checks[4]
    wanted = stats.chisquare([520, 480])
    assert (check.statistic, check.p_value) == pytest.approx((wanted.statistic, wanted.pvalue))
    assert statuses(audit(decisions, expected_shares={"a": 9, "b": 1}))["sample ratio"] == "fail"
    with pytest.raises(ConfigError, match="do not name the policy versions"):
        audit(decisions, expected_shares={"a": 1.0})


def test_missing_outcomes_are_a_contingency_table():
    random = np.random.default_rng(1)
    action = random.integers(0, 3, 3000)
    reward = np.where(random.random(3000) < np.array([0.1, 0.1, 0.2])[action], np.nan, 1.0)
    check = audit(Decisions(action, reward, np.full(3000, 1 / 3))).checks[5]
    table = [np.bincount(action[np.isnan(reward) == lost], minlength=3) for lost in (True, False)]
    wanted = stats.contingency.chi2_contingency(table)
    assert (check.statistic, check.p_value) == pytest.approx((wanted.statistic, wanted.pvalue))
    assert check.status == "fail"
    assert "arm 2" in check.told


def test_the_log_probability_of_a_branch_is_found():
    # epsilon-greedy that logs the probability of the branch it took, as TF-Agents does: .6 or .1, and .7 is right
    random = np.random.default_rng(0)
    explores = random.random(4000) < 0.4
    action = np.where(explores, random.integers(0, 4, 4000), 3)
    lied = Decisions(action, probability=np.where(explores, 0.1, 0.6), num_arms=4)
    honest = Decisions(action, probability=np.where(action == 3, 0.7, 0.1), num_arms=4)
    assert audit(honest).passed
    found = audit(lied)
    assert statuses(found)["arm frequencies"] == statuses(found)["mean weight"] == "fail"
    weight = np.mean(1 / (4 * lied.probability))  # (.6/.6 + .4/.1) / 4 = 1.25 by expectation
    assert f"{weight:.4f}" in found.checks[2].told
    assert weight == pytest.approx(1.25, abs=0.05)


def test_probabilities_that_are_swapped_between_rows_are_found_by_calibration():
    # each arm is as frequent as it should be, and in the wrong rows
    decisions = log(4000)
    lied = Decisions(decisions.action, probabilities=np.roll(decisions.probabilities, 1, axis=0))
    found = statuses(audit(lied))
    assert found["arm frequencies"] == "pass"
    assert found["calibration"] == "fail"


def test_holes_in_the_support_are_told():
    p = np.tile([0.5, 0.5, 0.0], (100, 1))
    decisions = Decisions([0, 1] * 50, probabilities=p)
    assert "arm 2 was eligible" in audit(decisions).checks[3].told
    assert not audit(decisions).passed
    eligible = np.tile([True, True, False], (100, 1))
    assert audit(Decisions([0, 1] * 50, probabilities=p, eligible=eligible)).passed
    half = np.where(np.arange(100)[:, None] % 2, p, [0.4, 0.4, 0.2])
    check = audit(Decisions([0, 1] * 50, probabilities=half)).checks[3]
    assert (check.status, "in 50 rows (50.0%)" in check.told) == ("warn", True)
    never = audit(Decisions([0, 1] * 50, probability=[0.5] * 100, num_arms=3)).checks[3]
    assert (never.status, "arm 2 was eligible, and never chosen" in never.told) == ("warn", True)


def test_one_row_that_is_most_of_the_weight_is_told():
    probability = np.full(1000, 0.5)
    probability[17] = 1e-6
    check = audit(Decisions([0, 1] * 500, probability=probability)).checks[2]
    assert check.status == "warn"
    assert "probability 1e-06" in check.told


def test_faults_fail_the_log_and_their_rows_are_left_out_of_the_tests():
    decisions = log(2000)
    action = decisions.action.copy()
    action[5] = 99
    found = audit(decisions.replace(action=action, probability=None))
    assert not found.passed
    assert found.num_decisions == 2000
    assert statuses(found)["calibration"] == "pass"
    assert "chosen arms that do not exist, at row 5" in str(found)


def test_an_empty_log_fails():
    found = audit(Decisions([]))
    assert not found.passed
    assert "holds no decisions" in str(found)


def test_json_has_no_nan():
    text = json.dumps(audit(log(200)).to_json(), allow_nan=False)
    assert json.loads(text)["passed"] is True
    with pytest.raises(ConfigError, match="alpha"):
        audit(log(10), alpha=0.0)
