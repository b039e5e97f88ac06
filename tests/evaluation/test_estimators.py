"""The table of estimators: documented as it is, and any subset of it works alone."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from jaxdaw.data import Decisions
from jaxdaw.evaluation import ESTIMATORS, evaluate_off_policy

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "logs.md"


def decisions(rows: int = 400) -> Decisions:
    random = np.random.default_rng(0)
    action = random.integers(0, 2, rows)
    return Decisions(action, reward=random.random(rows) < 0.2 + 0.6 * action, probability=np.full(rows, 0.5))


def test_the_documentation_lists_every_estimator_as_the_table_does():
    lines = DOCUMENTATION.read_text().splitlines()
    start = lines.index("| estimator | is | fails where |") + 2
    listed = list(itertools.takewhile(lambda line: line.startswith("|"), lines[start:]))
    assert listed == [f"| `{name}` | {one.summary} | {one.fails_where} |" for name, one in ESTIMATORS.items()]


@pytest.mark.parametrize("names", [*[(name,) for name in ESTIMATORS], ("snips", "ips"), ("shrunk_dr", "dm")])
def test_any_subset_gives_the_numbers_that_all_give(names):
    every = evaluate_off_policy(decisions(), {"one": "constant:1"}, resamples=20).candidates[0].estimates
    report = evaluate_off_policy(decisions(), {"one": "constant:1"}, estimators=names, resamples=20)
    assert report.estimator == names[0]
    for name, estimate in report.candidates[0].estimates.items():
        np.testing.assert_allclose(estimate.value, every[name].value, rtol=1e-12)


def test_a_reward_model_is_fitted_only_where_one_is_needed(monkeypatch):
    fitted = []
    monkeypatch.setattr("jaxdaw.evaluation._off_policy.ridge_rewards", lambda *a, **k: fitted.append(1) or 1 / 0)
    free = [name for name, one in ESTIMATORS.items() if not one.needs_model]
    assert free == ["ips", "snips", "clipped_ips"]
    evaluate_off_policy(decisions(), {"one": "constant:1"}, estimators=free, resamples=5)
    assert not fitted
    for name in set(ESTIMATORS) - set(free):
        with pytest.raises(ZeroDivisionError):
            evaluate_off_policy(decisions(), {"one": "constant:1"}, estimators=[name], resamples=5)
