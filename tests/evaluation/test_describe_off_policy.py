"""Reports in words and pictures."""

import numpy as np

from data.logs import log
from jaxdaw.evaluation import describe_off_policy, evaluate_off_policy, plot_off_policy


def test_words_say_what_is_not_to_be_trusted(tmp_path):
    decisions = log(400)
    report = evaluate_off_policy(decisions, {"all": "uniform", "fourth": "constant:3"})
    text = describe_off_policy(report)
    assert "400 decisions among 4 arms" in text
    assert "all - fourth" in text
    assert "DO NOT TRUST: effective sample size" in text
    assert text.count("*") == 2  # the main estimate of each
    picture = plot_off_policy(report, tmp_path / "ope.png")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_estimates_that_are_nan_are_drawn_as_nothing(tmp_path):
    decisions = log(100)
    table = np.zeros((100, 4))
    table[np.arange(100), (decisions.action + 1) % 4] = 1.0
    report = evaluate_off_policy(decisions, {"never": table})
    assert "nan" in describe_off_policy(report)
    assert plot_off_policy(report, tmp_path / "ope.svg").exists()
