"""Runs of bandits in words."""

from __future__ import annotations

import numpy as np

from jaxdaw.evaluation import describe_regret
from jaxdaw.metrics import RegretSummary


def summary(regret: float) -> RegretSummary:
    return RegretSummary(100, 0.5, (0.4, 0.6), regret, regret, 10.0, 40.0, 100.0, 0.25, 0.125, np.ones(2) / 2)


def test_one_run_is_told_beside_its_baselines():
    text = "\n".join(describe_regret([summary(20.0)]))
    for part in ("regret  20.0 in 100 rounds, 20.00 % of uniform", "uniform 100.0", "single action 40.0",
                 "best actions alone 10.0", "0.4 to 0.6", "suboptimal 25.0 %", "exploring 12.5 %"):  # fmt: skip
        assert part in text


def test_several_runs_have_an_interval():
    text = "\n".join(describe_regret([summary(10.0), summary(30.0)]))
    assert "regret  20.0 (95 % interval 10 to 30 over 2 seeds)" in text


def test_no_run_is_told_too():
    assert describe_regret([]) == ["no rounds"]
