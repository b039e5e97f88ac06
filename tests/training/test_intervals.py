"""Intervals in whole learning phases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdaw.errors import ConfigError
from jaxdaw.training._intervals import report_interval


@given(st.integers(1, 50), st.integers(1, 40), st.integers(0, 40), st.integers(0, 40))
def test_evaluations_fall_on_reports(phase, report, evaluation, checkpoint):
    """In phases: every interval is a multiple of the reports', which are no further apart than was asked for."""
    others = {"eval_every": evaluation * phase, "checkpoint_every": 0}
    every = report_interval(phase, 10**6, report * phase, **others)
    assert every % phase == 0
    assert every <= report * phase
    if evaluation:
        assert abs(round(evaluation * phase / every) * every - evaluation * phase) <= every / 2
    del checkpoint


def test_a_short_run_ends_at_its_total():
    assert report_interval(10, 25, 1_000) == 30


@pytest.mark.parametrize("name", ["report_every", "eval_every", "checkpoint_every"])
def test_an_interval_below_a_phase_is_refused_with_the_nearest(name):
    intervals = {"report_every": 256, "eval_every": 0, "checkpoint_every": 0, name: 255}
    with pytest.raises(ConfigError, match=f"{name} is shorter than a learning phase.*\n.*at least 256"):
        report_interval(256, 1_000, **intervals)
