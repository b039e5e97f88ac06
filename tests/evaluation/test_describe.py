"""Demonstrations in words and in a picture."""

import numpy as np

from jaxdaw.data import Demonstrations, Episode
from jaxdaw.evaluation import describe_demonstrations, plot_demonstrations


def make():
    long = Episode(np.zeros((5, 2)), np.array([0, 1, 1, 1]), np.ones(4), terminated=True)
    short = Episode(np.zeros((3, 2)), np.array([0, 1]), np.zeros(2), truncated=True)
    return Demonstrations([long, short])


def test_figures_are_those_of_the_episodes():
    text = describe_demonstrations(make())
    assert "episodes     2, of 6 steps" in text
    assert "lengths      3.0 on average, median 3, from 2 to 4" in text
    assert "returns      2.0 on average, median 2, from 0 to 4" in text
    assert "1 terminated, 1 truncated, 0 unknown" in text
    assert "0: 33.3%  1: 66.7%" in text


def test_float_actions_and_missing_rewards():
    episode = Episode(np.zeros((5, 2)), np.linspace(0, 1, 4)[:, None])
    text = describe_demonstrations(Demonstrations([episode]))
    assert "returns      not recorded" in text
    assert "mean [0.5]" in text


def test_a_picture(tmp_path):
    assert plot_demonstrations(make(), tmp_path / "data.png").stat().st_size > 5_000
