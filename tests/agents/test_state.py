"""The counter that agents may share."""

import pytest

from jaxdaw.agents import StepCounter
from jaxdaw.errors import ConfigError

from .batches import batch, make


def test_counters_are_each_agents_own_unless_shared():
    a, b = make(), make()
    a.train(batch())
    assert (int(a.train_step_counter), int(b.train_step_counter)) == (1, 0)
    shared = StepCounter(10)
    c, d = make(train_step_counter=shared), make(train_step_counter=shared)
    c.train(batch())
    d.train(batch())
    assert shared == 12
    with pytest.raises(ConfigError, match="StepCounter"):
        make(train_step_counter=3)
