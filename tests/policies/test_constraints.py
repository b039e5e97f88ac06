import numpy as np
import pytest

from jaxdaw.errors import MaskError
from jaxdaw.policies import split_observation
from jaxdaw.policies._constraints import check_mask_values


def test_without_a_splitter_everything_is_the_observation():
    assert split_observation(None, 3) == (3, None)


def test_a_splitter_that_returns_no_pair_is_named():
    with pytest.raises(MaskError, match="must return a pair"):
        split_observation(lambda o: o, np.zeros(3))


def test_a_float_mask_is_refused():
    with pytest.raises(MaskError, match="float64"):
        split_observation(lambda o: (o, np.zeros(3)), np.zeros(3))


@pytest.mark.parametrize("mask", [np.ones((2, 3), bool), np.array([[1, 0], [0, 2]]), np.zeros((2, 2), bool)])
def test_masks_of_other_lengths_values_or_without_a_way_out_are_refused(mask):
    with pytest.raises(MaskError):
        check_mask_values(mask, 2)
