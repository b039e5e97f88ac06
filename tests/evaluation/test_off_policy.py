"""Evaluations whose answers are known; `tests/golden` has another library's, `tests/learning` the coverage."""

import json

import numpy as np
import pytest

from data.logs import log
from jaxdaw.data import Decisions
from jaxdaw.errors import ConfigError, JaxdawWarning, SpecError
from jaxdaw.evaluation import describe_off_policy, evaluate_off_policy
from jaxdaw.policies import GreedyPolicy, RandomPolicy
from jaxdaw.specs import BoundedTensorSpec
from jaxdaw.trajectories import time_step_spec


def test_the_logged_policy_is_worth_what_it_earned():
    decisions = log(3000)
    for one in (decisions, decisions.replace(probabilities=None)):
        report = evaluate_off_policy(one, {"logged": "logged"})
        mean = decisions.reward.mean()
        (found,) = report.candidates
        assert found.estimates["ips"].value == pytest.approx(mean)
        assert found.estimates["snips"].value == pytest.approx(mean)
        assert found.estimates["dr"].value == pytest.approx(mean, abs=0.01)
        assert found.overlap.effective_sample_size == pytest.approx(3000)
        assert found.is_trusted
        assert report.logged.value == pytest.approx(mean)


def test_every_estimator_finds_the_value_of_an_arm():
    random = np.random.default_rng(0)
    probabilities = np.tile([0.3, 0.7], (20_000, 1))
    action = (random.random(20_000) < 0.7).astype(int)
    reward = np.where(action, 2.0, 5.0) + random.normal(size=20_000)
    report = evaluate_off_policy(
        Decisions(action, reward, probabilities=probabilities), {"first": "constant:0", "second": "constant:1"}
    )
    for candidate, value in zip(report.candidates, (5.0, 2.0), strict=True):
        for name, estimate in candidate.estimates.items():
            assert estimate.value == pytest.approx(value, abs=0.15), name
            assert estimate.interval.low <= estimate.value <= estimate.interval.high
    (pair,) = report.comparisons
    assert pair.difference == pytest.approx(3.0, abs=0.1)
    assert pair.interval.low < 3.0 < pair.interval.high
    assert pair.share_above == 1.0


def test_candidates_are_compared_on_the_same_rows():
    # two candidates that differ in one row of a hundred: far better known than either of them
    decisions = log(5000)
    one = np.full((5000, 4), 0.25)
    other = one.copy()
    other[::100] = [1.0, 0, 0, 0]
    report = evaluate_off_policy(decisions, {"one": one, "other": other}, main="ips")
    width = np.diff(report.candidates[0].estimates["ips"].interval)[0]
    assert np.diff(report.comparisons[0].interval)[0] < width / 2


def test_greedy_is_better_than_uniform_where_contexts_tell():
    report = evaluate_off_policy(log(8000), {"greedy": "greedy", "uniform": "uniform"}, main="snips")
    assert report.comparisons[0].interval.low > 0
    figures = report.figures("greedy")
    assert figures["lower_bound"] > figures["logged"]
    assert figures["gain_lower_bound"] > 0


def test_the_same_seed_gives_the_same_report_and_scale_goes_through():
    decisions = log(500)
    one = evaluate_off_policy(decisions, {"u": "uniform"}, seed=3)
    assert one.to_json() == evaluate_off_policy(decisions, {"u": "uniform"}, seed=3).to_json()
    tenfold = evaluate_off_policy(decisions.replace(reward=10 * decisions.reward), {"u": "uniform"}, seed=3)
    for name, estimate in one.candidates[0].estimates.items():
        assert tenfold.candidates[0].estimates[name].value == pytest.approx(10 * estimate.value, rel=1e-4)


def test_a_report_is_json_and_nan_becomes_none():
    decisions = log(300)
    table = np.zeros((300, 4))
    table[np.arange(300), (decisions.action + 1) % 4] = 1.0  # never what was logged
    report = evaluate_off_policy(decisions, {"never": table}, estimators=["snips", "ips"], main="snips")
    text = json.dumps(report.to_json(), allow_nan=False)
    assert json.loads(text)["candidates"][0]["estimates"]["snips"]["value"] is None
    assert not report.candidates[0].is_trusted


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"probability": np.zeros(100)}, r"outside \(0, 1\]: 100 times"),
        ({"probability": np.full(100, np.nan)}, "were not logged: 100 times"),
        ({"reward": np.full(100, np.nan)}, "without a reward, or with NaN: 100 times"),
        ({"eligible": np.zeros((100, 4), bool)}, "not eligible"),
        ({"context": np.full((100, 3), np.inf)}, "context with NaN or infinity"),
    ],
)
def test_a_log_with_faults_is_refused_with_counts(columns, text):
    decisions = log(100).replace(**({"probabilities": None} | columns))
    with pytest.raises(SpecError, match=text):
        evaluate_off_policy(decisions, {"u": "uniform"})


def test_a_few_rows_without_reward_are_left_out_and_told():
    decisions = log(1000)
    part = decisions.replace(reward=np.where(np.arange(1000) % 50 == 0, np.nan, decisions.reward))
    with pytest.warns(JaxdawWarning, match="20 of 1,000 decisions have no reward"):
        report = evaluate_off_policy(part, {"u": np.full((1000, 4), 0.25)}, estimators=["ips"])
    assert (report.num_decisions, report.num_learned) == (980, 0)
    assert report.logged.value == np.nanmean(part.reward)


def clicks(rows, count):
    """Returns a uniform log of `count` clicks in `rows` decisions between two arms."""
    return Decisions([0, 1] * (rows // 2), np.arange(rows) < count, probabilities=np.full((rows, 2), 0.5))


def test_an_interval_that_few_clicks_decide_is_called_unreliable_and_passes_no_gate():
    for count, is_reliable in ((0, False), (3, False), (14, False), (40, True)):
        report = evaluate_off_policy(clicks(4000, count), {"u": "uniform", "one": "constant:1"})
        assert report.logged.is_reliable == is_reliable
        uniform, one = report.candidates
        assert uniform.estimates["ips"].is_reliable == uniform.estimates["snips"].is_reliable == is_reliable
        assert one.is_trusted == is_reliable
        assert ("few rows decide the interval of dr" in str(one.reasons)) != is_reliable
        assert ("interval not reliable" in describe_off_policy(report)) != is_reliable
        assert report.to_json()["candidates"][0]["estimates"]["ips"]["reliable"] == is_reliable


def test_bernstein_intervals_come_from_the_declared_range_alone():
    decisions, table = clicks(400, 0), np.tile([0.9, 0.1], (400, 1))
    plain = evaluate_off_policy(decisions, {"it": table})
    assert all(estimate.bernstein is None for estimate in plain.candidates[0].estimates.values())
    report = evaluate_off_policy(decisions, {"it": table}, reward_range=(0, 1), main="ips")
    bits = np.log(4 / 0.05)  # nothing was seen, so the variance is 0 and the range decides alone
    found = {name: estimate.bernstein for name, estimate in report.candidates[0].estimates.items()}
    assert report.logged.bernstein == pytest.approx((0, 7 * bits / (3 * 399)))
    assert found["ips"] == found["clipped_ips"] == pytest.approx((0, 7 * 1.8 * bits / (3 * 399)))  # .9 / .5 at most
    assert found["dr"].high == pytest.approx(7 * (1 + 2 * 1.8) * bits / (3 * 399))
    assert found["snips"] is found["dm"] is None
    alone = Decisions(decisions.action, decisions.reward, decisions.probability)  # no bound of the weights is known
    report = evaluate_off_policy(alone, {"it": table}, reward_range=(0, 1))
    found = {name: estimate.bernstein is not None for name, estimate in report.candidates[0].estimates.items()}
    assert {name for name, is_there in found.items() if is_there} == {"clipped_ips", "switch_dr", "shrunk_dr"}


@pytest.mark.parametrize("reward_range", [(1, 0), (0, np.inf), (0, 0.5)])
def test_a_range_that_is_none_or_that_the_log_leaves_is_refused(reward_range):
    with pytest.raises(ConfigError, match="range"):
        evaluate_off_policy(clicks(400, 3), {"u": "uniform"}, reward_range=reward_range)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_few_rows_are_evaluated_and_not_trusted(rows):
    report = evaluate_off_policy(log(rows), {"u": "uniform", "g": "greedy"})
    assert all(np.isfinite(one.estimates["dr"].value) and not one.is_trusted for one in report.candidates)


def test_wide_contexts_need_no_reward_model_for_weights_alone():
    wide = log(200, context=np.random.default_rng(0).normal(size=(200, 600)))
    table = np.full((200, 4), 0.25)
    assert evaluate_off_policy(wide, {"u": table}, estimators=["ips", "snips"]).estimator == "ips"
    with pytest.raises(ConfigError, match="so many features"):
        evaluate_off_policy(wide, {"u": table})


def test_an_empty_log_is_refused():
    with pytest.raises(SpecError, match="holds no decisions"):
        evaluate_off_policy(Decisions([]), {"u": "uniform"})


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"estimators": ["mle"]}, ConfigError, "no such estimator"),
        ({"main": "mle"}, ConfigError, "no such estimator"),
        ({"estimators": []}, ConfigError, "no such estimator"),
        ({"confidence": 1.0}, ConfigError, "confidence"),
        ({"resamples": 1}, ConfigError, "resamples"),
        ({"clip": 0.0}, ConfigError, "clip"),
        ({"shrinkage": np.inf}, ConfigError, "shrinkage"),
        ({"candidates": {}}, ConfigError, "candidates"),
        ({"candidates": {"x": "best"}}, ConfigError, "there is no candidate"),
        ({"candidates": {"x": "constant:9"}}, ConfigError, "there is no candidate"),
        ({"candidates": {"x": np.full((50, 3), 1 / 3)}}, SpecError, "do not fit the log"),
        ({"candidates": {"x": np.full((50, 4), 0.5)}}, SpecError, "are none in 50 rows"),
        ({"candidates": {"x": lambda decisions: -np.ones((50, 4))}}, SpecError, "are none in 50 rows"),
        ({"reward_model": np.zeros((50, 3))}, ConfigError, "expected rewards do not fit"),
        ({"reward_model": np.full((50, 4), np.nan)}, ConfigError, "expected rewards do not fit"),
    ],
)
def test_options_outside_their_ranges_are_refused(options, error, text):
    with pytest.raises(error, match=text):
        evaluate_off_policy(log(50), **({"candidates": {"u": "uniform"}} | options))


def test_no_candidate_is_judged_by_what_one_of_them_learned_from():
    decisions = log(3000)
    table = np.full((3000, 4), 0.25)
    policy = RandomPolicy(time_step_spec(decisions.context_spec), BoundedTensorSpec((), np.int32, 0, 3))
    policy.learned_keys = np.sort(decisions.keys[:2000])
    rest = decisions.select(slice(2000, None))
    candidates = {
        "policy": GreedyPolicy(policy),
        "table": table,
        "function": lambda rows: np.full((len(rows), 4), 0.25),
    }
    report = evaluate_off_policy(decisions, candidates, reward_model=np.ones((3000, 4)))
    assert (report.num_decisions, report.num_learned) == (1000, 2000)
    assert report.to_json()["num_learned"] == 2000
    assert "1,000 decisions among 4 arms" in describe_off_policy(report)
    assert "2,000 more were learned from, and judge nothing" in describe_off_policy(report)
    alone = evaluate_off_policy(rest, {"table": table[2000:]}, reward_model=np.ones((1000, 4)))
    assert report.logged == alone.logged
    assert report.candidates[1].estimates["ips"].value == alone.candidates[0].estimates["ips"].value


def test_a_policy_that_learned_from_the_whole_log_is_not_judged():
    decisions = log(300)
    policy = RandomPolicy(time_step_spec(decisions.context_spec), BoundedTensorSpec((), np.int32, 0, 3))
    policy.learned_keys = np.sort(decisions.keys)
    with pytest.raises(SpecError, match="every decision of this log was learned from by new"):
        evaluate_off_policy(decisions, {"new": policy, "uniform": "uniform"})
