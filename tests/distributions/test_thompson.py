"""Thompson sampling: votes against counts; the largest of normals against integrals in float64 and draws."""

from __future__ import annotations

import math

import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxdaw import distributions
from jaxdaw.distributions import Greedy, invalid_action, votes

largest_of_normals = jax.jit(distributions.largest_of_normals)  # eagerly, 60 operations are compiled for each shape
RANDOM = np.random.default_rng(0)
MEMBERS = RANDOM.normal(size=(7, 5, 4)).astype(np.float32)
MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1], [0, 1, 1, 1], [1, 1, 0, 0]], bool)


def integral(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Returns the probability of each normal to be the largest, by a dense trapezoid rule in float64."""
    points = np.unique(np.concatenate([m + s * np.linspace(-8, 8, 2001) for m, s in zip(mean, deviation)]))
    below = scipy.stats.norm.cdf(points, mean[:, None], deviation[:, None])
    density = scipy.stats.norm.pdf(points, mean[:, None], deviation[:, None])
    others = [np.prod(np.delete(below, a, 0), 0) for a in range(len(mean))]
    return np.array([np.trapezoid(f * g, points) for f, g in zip(density, others)])


# Votes.


def test_votes_are_the_shares_of_the_members_greedy_actions():
    probs = votes(MEMBERS, MASK).probs
    for row in range(5):
        counts = np.zeros(4)
        for member in MEMBERS[:, row]:
            counts[np.argmax(np.where(MASK[row], member, -np.inf))] += 1
        np.testing.assert_allclose(probs[row], counts / 7, rtol=1e-6)
    assert np.all(np.asarray(probs)[~MASK] == 0)


def test_votes_are_the_mean_of_the_members_greedy_distributions():
    mean = np.mean([Greedy(member, MASK).probs for member in MEMBERS], axis=0)
    np.testing.assert_allclose(votes(MEMBERS, MASK).probs, mean, rtol=1e-6)


def test_ties_of_a_member_go_to_its_lowest_action():
    assert votes(np.array([[2.0, 2.0], [0.0, 1.0]])).probs.tolist() == [0.5, 0.5]


def test_drawing_a_member_and_then_its_action_is_drawing_from_the_votes():
    draws = 10**6
    member = RANDOM.integers(7, size=draws)
    counts = np.bincount(np.argmax(MEMBERS[:, 0], axis=-1)[member], minlength=4)
    expected = np.asarray(votes(MEMBERS).probs[0], np.float64) * draws
    assert np.all(counts[expected == 0] == 0)
    assert ((counts - expected)[expected > 0] ** 2 / expected[expected > 0]).sum() < 30


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_with_a_spoiled_member_or_nothing_allowed_is_not_valid(bad: float):
    spoiled, mask = MEMBERS.copy(), MASK.copy()
    spoiled[3, 1, 0] = bad
    spoiled[3, 4, 3] = bad  # not allowed there
    mask[3] = False
    distribution = votes(spoiled, mask)
    assert distribution.is_valid.tolist() == [True, False, True, False, True]
    assert distribution.sample(jax.random.key(0)).tolist()[1] == invalid_action(np.int32)


# The largest of normals.


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("scales", [0.0, 1.0, 3.0])
def test_equals_the_integral_within_a_ten_thousandth(count: int, scales: float):
    mean = RANDOM.normal(size=(3, count))
    deviation = np.exp(scales * RANDOM.normal(size=(3, count)))
    probs = largest_of_normals(mean, deviation).probs
    for row in range(3):
        np.testing.assert_allclose(probs[row], integral(mean[row], deviation[row]), atol=1e-4)


def test_two_normals_have_a_closed_form():
    mean, deviation = np.array([0.3, -0.2]), np.array([0.7, 1.9])
    first = 0.5 + 0.5 * math.erf(0.5 / math.hypot(0.7, 1.9) / math.sqrt(2))
    for function in (largest_of_normals, distributions.largest_of_normals):
        np.testing.assert_allclose(function(mean, deviation).probs, [first, 1 - first], atol=2e-5)


def test_frequencies_of_a_million_thompson_samples_are_the_probabilities():
    mean, deviation = np.array([0.0, 0.4, -1.0, 0.3, 9.0]), np.array([1.0, 0.1, 2.0, 0.5, 1.0])
    mask = np.array([1, 1, 1, 1, 0], bool)
    samples = mean[:4] + deviation[:4] * RANDOM.normal(size=(10**6, 4))
    counts = np.bincount(np.argmax(samples, -1), minlength=5)
    distribution = largest_of_normals(mean, deviation, mask)
    expected = np.asarray(distribution.probs, np.float64) * 10**6
    assert expected[4] == 0
    assert ((counts - expected)[:4] ** 2 / expected[:4]).sum() < 28  # 3 degrees of freedom: once in 250,000 times
    draws = np.asarray(distribution.sample(jax.random.key(5), (10**6,)))
    drawn = np.bincount(draws, minlength=5)
    assert ((drawn - expected)[:4] ** 2 / expected[:4]).sum() < 28
    # Importance weights of one Thompson sampler's draws value the policy that always takes action 2 without bias.
    weight = np.where(draws == 2, np.exp(-np.asarray(distribution.log_prob(jnp.asarray(draws)), np.float64)), 0.0)
    assert abs(weight.mean() - 1.0) < 3 * weight.std() / 10**3


def test_without_deviation_it_is_greedy_and_equal_values_share():
    probs = largest_of_normals(np.array([[1.0, 3.0, 2.0], [3.0, 1.0, 3.0]]), np.zeros(3)).probs
    np.testing.assert_allclose(probs, [[0, 1, 0], [0.5, 0, 0.5]], atol=1e-5)
    assert largest_of_normals(np.array([7.0]), np.array([0.0])).probs.tolist() == [1.0]


def test_moving_and_scaling_all_values_changes_nothing():
    mean, deviation = RANDOM.normal(size=4), np.exp(RANDOM.normal(size=4))
    plain = largest_of_normals(mean, deviation).probs
    np.testing.assert_allclose(largest_of_normals(1e8 * mean, 1e8 * deviation).probs, plain, atol=1e-5)
    np.testing.assert_allclose(largest_of_normals(1e-12 * mean, 1e-12 * deviation).probs, plain, atol=1e-5)
    np.testing.assert_allclose(largest_of_normals(mean + 100, deviation).probs, plain, atol=1e-4)


@hypothesis.given(
    arrays.arrays(np.float32, (3, 5), elements=st.floats(-1e6, 1e6, width=32)),
    arrays.arrays(np.float32, (3, 5), elements=st.floats(0, 2.0**20, width=32)),
    arrays.arrays(bool, (3, 5)),
)
@hypothesis.example(  # a value that is certain, within another's spread
    np.full((3, 5), [315283, 0, 0, 0, 0], np.float32),
    np.full((3, 5), [630568, 0, 0, 0, 0], np.float32),
    np.full((3, 5), [True, True, False, False, False]),
)
@hypothesis.settings(deadline=None, max_examples=25)
def test_sums_to_one_avoids_what_is_masked_and_prefers_larger_means(mean, deviation, mask):
    distribution = largest_of_normals(mean, deviation, mask)
    np.testing.assert_allclose(distribution.probs.sum(-1), mask.any(-1), rtol=1e-5)
    np.testing.assert_allclose(np.exp(np.asarray(distribution.logits)).sum(-1), mask.any(-1), atol=1e-3)
    assert np.all(np.asarray(distribution.probs)[~mask] == 0)
    equal = np.asarray(largest_of_normals(mean, np.ones(5), mask).probs)
    for row in range(3):
        order = np.argsort(mean[row][mask[row]])
        assert np.all(np.diff(equal[row][mask[row]][order]) >= -1e-5)


def test_rows_that_hold_nan_are_not_valid_and_masked_nan_is_nothing():
    mean = np.zeros((4, 2))
    deviation = np.array([[1.0, 1.0], [np.nan, 1.0], [1.0, -1.0], [1.0, 1.0]])
    mean[3, 1] = np.nan
    distribution = largest_of_normals(mean, deviation, np.array([[1, 1], [1, 1], [1, 1], [1, 0]]))
    assert distribution.is_valid.tolist() == [True, False, False, True]
    assert distribution.probs[3].tolist() == [1.0, 0.0]


def test_large_batches_are_computed_piece_by_piece():
    mean = RANDOM.normal(size=(7, 2, 60))
    probs = largest_of_normals(np.tile(mean, (8, 1, 1)), np.ones(60)).probs
    assert probs.shape == (56, 2, 60)
    np.testing.assert_allclose(probs[:7], largest_of_normals(mean, np.ones(60)).probs, atol=1e-6)
    np.testing.assert_allclose(probs[-7:], probs[:7], atol=1e-6)
