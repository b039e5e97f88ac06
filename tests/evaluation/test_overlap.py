"""Overlap by hand."""

import numpy as np
import pytest

from jaxdaw.data import Decisions
from jaxdaw.evaluation import evaluate_off_policy


def overlap_of(decisions, candidate):
    return evaluate_off_policy(decisions, {"it": candidate}, estimators=["ips"], resamples=2).candidates[0].overlap


def test_weights_and_arms_by_hand():
    table = np.array([[0.5, 0.5], [0.25, 0.75], [0.5, 0.5], [0.2, 0.8]])
    decisions = Decisions([0, 1, 1, 1], np.ones(4), probabilities=table)
    found = overlap_of(decisions, np.array([[1.0, 0], [0, 1], [0.5, 0.5], [1, 0]]))
    weight = np.array([2.0, 4 / 3, 1.0, 0.0])
    assert found.effective_sample_size == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
    assert (found.largest_weight, found.mean_weight) == pytest.approx((2.0, weight.mean()))
    assert found.largest_share == pytest.approx(2 / weight.sum())
    assert found.arm_count.tolist() == [1, 3]
    assert found.arm_logged.tolist() == pytest.approx([0.3625, 0.6375])
    assert found.arm_candidate.tolist() == pytest.approx([0.625, 0.375])
    assert found.arm_effective.tolist() == pytest.approx([1.0, (7 / 3) ** 2 / (16 / 9 + 1)])
    assert found.arm_largest.tolist() == pytest.approx([2.0, 4 / 3])
    assert found.unsupported == 0


def test_choices_that_the_log_cannot_have_made_are_unsupported():
    table = np.tile([0.5, 0.5, 0.0], (1000, 1))
    decisions = Decisions([0, 1] * 500, np.ones(1000), probabilities=table)
    found = overlap_of(decisions, "uniform")
    assert found.unsupported == pytest.approx(1 / 3)
    assert any("33.3% of the candidate's choices cannot be in the log" in reason for reason in found.reasons())
    eligible = np.tile([True, True, False], (1000, 1))
    assert overlap_of(decisions.replace(eligible=eligible), "uniform").reasons() == ()
    alone = decisions.replace(probabilities=None)  # only the chosen one's: arms that were never chosen
    assert overlap_of(alone, "uniform").unsupported == pytest.approx(1 / 3)


def test_a_row_that_is_most_of_the_weight_is_told():
    probability = np.full(1000, 0.5)
    probability[3] = 1e-6
    reasons = overlap_of(Decisions([0, 1] * 500, np.ones(1000), probability), "uniform").reasons()
    assert "effective sample size 1 of 1,000" in reasons[0]
    assert "one row with a weight of 500000" in reasons[1]


def test_wrong_probabilities_are_told():
    decisions = Decisions([0, 1, 1, 1] * 500, np.ones(2000), np.full(2000, 0.25))  # they were .25 and .75
    (reason,) = overlap_of(decisions, np.tile([0.5, 0.5], (2000, 1))).reasons()
    assert "the mean weight is 2.000, and should be 1, less" in reason


@pytest.mark.parametrize(("arms", "rows"), [(50, 200), (10_000, 3_000)])
def test_arms_that_were_not_seen_by_chance_are_not_impossible(arms, rows):
    """Right uniform logs: every weight of a uniform candidate is 1, however many arms have not come up."""
    for seed in range(5):
        action = np.random.default_rng(seed).integers(0, arms, rows)
        decisions = Decisions(action, np.ones(rows), np.full(rows, 1 / arms), num_arms=arms)
        assert len(np.unique(action)) < arms
        found = overlap_of(decisions, "uniform")
        assert found.unsupported == pytest.approx(0.0, abs=1e-6)
        assert found.reasons() == ()
        never = next(arm for arm in range(arms) if arm not in action)
        assert overlap_of(decisions, f"constant:{never}").unsupported == 1.0


def test_arms_that_could_never_be_chosen_are_told_without_their_probabilities():
    action = np.random.default_rng(0).integers(0, 4, 2_000)  # of five arms, the last one never
    found = overlap_of(Decisions(action, np.ones(2_000), np.full(2_000, 0.25), num_arms=5), "uniform")
    assert found.unsupported == pytest.approx(0.2)
    assert len(found.reasons()) == 1
