"""hold_out: a log in two parts."""

from __future__ import annotations

import numpy as np
import pytest

from jaxdaw.data import Decisions, hold_out
from jaxdaw.errors import ConfigError


def log(time=None) -> Decisions:
    return Decisions(np.zeros(1_000, int), np.arange(1_000.0), time=time)


def test_the_latest_are_held_out_in_whatever_order_they_stand():
    time = np.random.default_rng(0).permutation(1_000) + 1.7e9
    learned, held = hold_out(log(time), 0.3)
    assert (len(learned), len(held)) == (700, 300)
    assert learned.time.max() < held.time.min()
    np.testing.assert_array_equal(np.sort(np.concatenate([learned.reward, held.reward])), np.arange(1_000.0))
    assert not np.isin(learned.keys, held.keys).any()


@pytest.mark.parametrize("time", [None, np.full(1_000, 3.0), np.where(np.arange(1_000) == 5, np.nan, 1.0)])
def test_without_times_they_are_drawn_by_the_seed(time):
    learned, held = hold_out(log(time), 0.3, seed=1)
    assert 240 < len(held) < 360  # 300 +- 4 * sqrt(1000 * .3 * .7)
    assert 400 < held.reward.mean() < 600
    np.testing.assert_array_equal(hold_out(log(time), 0.3, seed=1)[1].reward, held.reward)
    assert hold_out(log(time), 0.3, seed=2)[1].reward.tolist() != held.reward.tolist()
    assert len(learned) + len(held) == 1_000


def test_time_can_be_left_out_of_account():
    _, held = hold_out(log(np.arange(1_000.0)), 0.3, by_time=False)
    assert held.reward.mean() < 700


def test_nothing_can_be_held_out_and_not_everything():
    assert len(hold_out(log(np.arange(1_000.0)), 0.0)[1]) == 0
    assert len(hold_out(Decisions([]), 0.3)[1]) == 0
    with pytest.raises(ConfigError, match="share is outside its range"):
        hold_out(log(), 1.0)
