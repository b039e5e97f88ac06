"""What constructors and batches are checked for: numbers out of range, weights that are none."""

import numpy as np
import pytest

from jaxdaw.agents import check_range
from jaxdaw.errors import ConfigError, SpecError

from .batches import assert_same, batch, make, weights_of


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(1), np.int64(0)])
def test_numbers_in_range_pass(value):
    check_range("share", value, 0.0, 1.0)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan, np.inf, None, "1", True, [0.5]])
def test_anything_else_is_refused_and_shown(value):
    with pytest.raises(ConfigError, match=r"share is outside its range\n  expected  a number in \[0\.0, 1\.0\]"):
        check_range("share", value, 0.0, 1.0)


def test_open_ends_integers_and_none():
    check_range("period", None, 1, 5, optional=True)
    check_range("period", 2.0, 1, 5, integer=True)
    with pytest.raises(ConfigError, match="an integer"):
        check_range("period", 1.5, 1, 5, integer=True)
    with pytest.raises(ConfigError, match=r"\(0\.0, 1\.0\]"):
        check_range("rate", 0.0, 0.0, 1.0, low_open=True)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_example_weights_that_are_no_weights_are_refused(weight):
    agent = make()
    before = weights_of(agent)
    with pytest.raises(SpecError, match="weights must be finite and not negative"):
        agent.train(batch(), np.array([1.0, weight, 1.0, 1.0], np.float32))
    assert_same(weights_of(agent), before)


def test_example_weights_of_zero_give_a_loss_of_zero():
    agent = make()
    before = weights_of(agent).params
    assert agent.train(batch(), np.zeros(4, np.float32)).loss == 0
    assert_same(weights_of(agent).params, before)
