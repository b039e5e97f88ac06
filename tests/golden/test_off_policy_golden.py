"""The Open Bandit Pipeline's estimates on the same arrays; `make_off_policy.py` made them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxdaw import math
from jaxdaw.data import Decisions
from jaxdaw.evaluation import ESTIMATORS, evaluate_off_policy

HERE = Path(__file__).parent / "off_policy"


@pytest.fixture(params=["mild", "sharp"])
def case(request: Any) -> tuple[dict[str, Any], Any]:
    return json.loads((HERE / f"{request.param}.json").read_text()), np.load(HERE / f"{request.param}.npz")


def test_every_estimate_is_that_of_the_open_bandit_pipeline(case: Any):
    document, arrays = case
    decisions = Decisions(arrays["action"], arrays["reward"], probabilities=arrays["logged"])
    report = evaluate_off_policy(
        decisions,
        {"candidate": arrays["candidate"]},
        reward_model=arrays["q"],
        clip=document["clip"],
        switch_threshold=document["switch_threshold"],
        shrinkage=document["shrinkage"],
        resamples=2,
    )
    got = {name: estimate.value for name, estimate in report.candidates[0].estimates.items()}
    assert set(got) == set(ESTIMATORS) == set(document["estimates"])
    for name, value in document["estimates"].items():
        assert got[name] == pytest.approx(value, rel=1e-12), name


def test_the_empirical_bernstein_radius_is_that_of_the_open_bandit_pipeline(case: Any):
    document, arrays = case
    rows = np.arange(len(arrays["action"]))
    weight = arrays["candidate"][rows, arrays["action"]] / arrays["logged"][rows, arrays["action"]]
    scores = math.inverse_propensity_scores(arrays["reward"], weight)
    stored = document["bernstein_lower_bound"]
    # theirs is one-sided: delta on one side is 1 - 2 delta on two
    radius = math.empirical_bernstein_radius(scores, stored["x_max"], 1 - 2 * stored["delta"])
    assert scores.mean() - radius == pytest.approx(stored["value"], rel=1e-12)
