"""Scores of single rows, by hand; `tests/golden` has the estimates of another library."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.errors import SpecError
from jaxdaw.math import (
    clipped_scores,
    doubly_robust_scores,
    effective_sample_size,
    empirical_bernstein_radius,
    inverse_propensity_scores,
    shrunk_scores,
    switch_scores,
)

REWARD = np.array([1.0, 0.0, 2.0])
WEIGHT = np.array([0.5, 3.0, 4.0])
Q_LOGGED = np.array([0.5, 0.25, 1.0])
Q_CANDIDATE = np.array([0.75, 0.5, 1.5])


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_scores_by_hand(array):
    reward, weight, logged, candidate = map(array, (REWARD, WEIGHT, Q_LOGGED, Q_CANDIDATE))
    close = np.testing.assert_allclose
    close(inverse_propensity_scores(reward, weight), [0.5, 0, 8])
    close(clipped_scores(reward, weight, 3.5), [0.5, 0, 7])
    close(doubly_robust_scores(reward, weight, logged, candidate), [0.75 + 0.25, 0.5 - 0.75, 1.5 + 4])
    close(switch_scores(reward, weight, logged, candidate, 3.0), [1.0, -0.25, 1.5])  # a weight of 3 still corrects
    # 4 w / (w**2 + 4): 2/4.25, 12/13, 16/20
    close(
        shrunk_scores(reward, weight, logged, candidate, 4.0),
        [0.75 + 0.5 * 2 / 4.25, 0.5 - 0.25 * 12 / 13, 1.5 + 1.0 * 0.8],
        rtol=1e-6,
    )
    close(effective_sample_size(weight), 7.5**2 / (0.25 + 9 + 16), rtol=1e-6)
    assert type(inverse_propensity_scores(reward, weight)) is type(reward)


def test_estimates_are_unbiased_over_everything_that_can_be_logged():
    # expectation over the two arms in place of samples: sum_a p(a) score(a) = sum_a pi(a) r(a) for every model q
    logged, candidate = np.array([0.2, 0.8]), np.array([0.9, 0.1])
    reward, q = np.array([3.0, 1.0]), np.array([-5.0, 7.0])
    value = candidate @ reward
    weight = candidate / logged
    assert logged @ inverse_propensity_scores(reward, weight) == pytest.approx(value)
    baseline = np.full(2, candidate @ q)
    assert logged @ doubly_robust_scores(reward, weight, q, baseline) == pytest.approx(value)
    assert logged @ switch_scores(reward, weight, q, baseline, np.inf) == pytest.approx(value)
    assert logged @ switch_scores(reward, weight, q, baseline, 0.0) == pytest.approx(candidate @ q)


def test_without_weights_the_effective_sample_size_is_zero():
    assert effective_sample_size(np.zeros(4)) == 0
    assert effective_sample_size(np.full(4, 1e-3)) == pytest.approx(4)


def test_the_radius_grows_with_width_and_confidence():
    scores = np.array([0.0, 1.0] * 20)
    base = empirical_bernstein_radius(scores, 1.0, 0.95)
    assert empirical_bernstein_radius(scores, 2.0, 0.95) > base
    assert empirical_bernstein_radius(scores, 1.0, 0.99) > base
    assert empirical_bernstein_radius(np.repeat(scores, 100), 1.0, 0.95) < base


def test_columns_that_would_broadcast_are_refused():
    with pytest.raises(SpecError, match="several shapes"):
        inverse_propensity_scores(REWARD[:, None], WEIGHT)
    with pytest.raises(SpecError, match="several shapes"):
        doubly_robust_scores(REWARD, WEIGHT, Q_LOGGED[:1], Q_CANDIDATE)
