from __future__ import annotations

import pytest

from jaxdaw.data import Fault, Report
from jaxdaw.errors import SpecError

ERROR = Fault("x is broken", 12, ("episode 3", "episode 4"), "whole", "half", "mend(x)")
WARNING = Fault("y is odd", places=("episode 1",), is_error=False)


def test_report_tells_errors_and_warnings_apart():
    report = Report.of([WARNING, ERROR])
    assert report.errors == (ERROR,)
    assert report.warnings == (WARNING,)


def test_report_says_everything_at_once():
    assert str(Report.of([WARNING, ERROR])) == (
        "x is broken: 12 times, first episode 3, episode 4, ...\n"
        "  expected  whole          got  half\n"
        "  Fix: mend(x)\n\n"
        "warning: y is odd, at episode 1"
    )
    assert str(Report()) == "no faults"


def test_report_raises_for_errors_only():
    Report.of([WARNING]).raise_if_faulty()
    with pytest.raises(SpecError, match=r"^x.csv have 1 fault\n\nx is broken(.|\n)*warning: y is odd"):
        Report.of([WARNING, ERROR]).raise_if_faulty("x.csv")
