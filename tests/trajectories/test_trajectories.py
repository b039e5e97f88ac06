import numpy as np
import pytest

from jaxdaw import trajectories
from jaxdaw.errors import SpecError


def episode(**how):
    return trajectories.from_episode(np.zeros((3, 2)), np.zeros(3, np.int32), (), np.ones(3, np.float32), **how)


def test_how_the_episode_ended_is_in_the_discount():
    assert episode(terminated=True).discount.tolist() == [1.0, 1.0, 0.0]
    assert episode(terminated=False).discount.tolist() == [1.0, 1.0, 1.0]
    assert episode(terminated=True).next_step_type.tolist() == [1, 1, 2]


@pytest.mark.parametrize("how", [{}, {"terminated": True, "discount": np.ones(3)}])
def test_how_it_ended_must_be_said_once(how):
    with pytest.raises(SpecError, match="terminated=True"):
        episode(**how)


def test_lengths_that_differ_are_named():
    with pytest.raises(SpecError, match=r"\['observation'\]"):
        trajectories.from_episode(np.zeros((4, 2)), np.zeros(3), (), np.ones(3), terminated=True)
