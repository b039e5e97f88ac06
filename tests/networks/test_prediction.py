"""What a reward network returns."""

import numpy as np

from jaxdaw.networks import RewardPrediction, mean_of


def test_mean_of_is_the_mean_with_and_without_a_variance():
    mean = np.ones((2, 3))
    assert mean_of(mean) is mean
    assert mean_of(RewardPrediction(mean, np.zeros((2, 3)))) is mean
