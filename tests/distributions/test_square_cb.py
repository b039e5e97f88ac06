"""SquareCB against its formula in a loop of Python floats, its limits, and counts."""

from __future__ import annotations

from fractions import Fraction

import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.distributions import Greedy, SquareCB, invalid_action

VALUES = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1], [0, 1, 1, 1], [1, 1, 0, 0]], bool)
FINITE = st.floats(-(2.0**60), 2.0**60, width=32, allow_subnormal=False)  # XLA on a CPU takes subnormal numbers for 0


def by_hand(values: np.ndarray, mask: np.ndarray, gamma: float) -> np.ndarray:
    allowed = np.flatnonzero(mask)
    best = allowed[np.argmax(values[allowed])]
    probs = np.zeros(len(values))
    for action in allowed:
        if action != best:
            probs[action] = 1 / (len(allowed) + gamma * (float(values[best]) - float(values[action])))
    probs[best] = 1 - probs.sum()
    return probs


@pytest.mark.parametrize("gamma", [0.0, 0.5, 20.0, 1e6])
def test_equals_its_formula(gamma: float):
    probs = SquareCB(VALUES, MASK, gamma=gamma).probs
    for row in range(5):
        np.testing.assert_allclose(probs[row], by_hand(VALUES[row], MASK[row], gamma), rtol=1e-5, atol=1e-7)


def test_equals_fractions_worked_by_hand():
    # Gaps 2, 0, 1 and gamma 2: 1 / (3 + 4), 1 / (3 + 2), and what is left of 1.
    expected = [Fraction(1, 7), 1 - Fraction(1, 7) - Fraction(1, 5), Fraction(1, 5)]
    np.testing.assert_allclose(
        SquareCB(np.array([1.0, 3.0, 2.0]), gamma=2.0).probs, [float(p) for p in expected], rtol=1e-6
    )


@hypothesis.given(arrays.arrays(np.float32, (3, 5), elements=FINITE), arrays.arrays(bool, (3, 5)), st.floats(0, 1e9))
@hypothesis.settings(deadline=None, max_examples=80)
def test_sums_to_one_avoids_what_is_masked_and_falls_with_the_gap(values: np.ndarray, mask: np.ndarray, gamma: float):
    probs = np.asarray(SquareCB(values, mask, gamma=gamma).probs, np.float64)
    np.testing.assert_allclose(probs.sum(-1), mask.any(-1), rtol=1e-5)
    assert np.all(probs[~mask] == 0)
    for row in range(3):
        order = np.argsort(-values[row][mask[row]], kind="stable")
        assert np.all(np.diff(probs[row][mask[row]][order]) <= 1e-6)


def test_gamma_zero_is_uniform_and_infinite_gamma_is_greedy():
    uniform = MASK / MASK.sum(-1, keepdims=True)
    np.testing.assert_allclose(SquareCB(VALUES, MASK, gamma=0.0).probs, uniform, rtol=1e-6)
    np.testing.assert_allclose(SquareCB(VALUES, MASK, gamma=-1e-9).probs, uniform, rtol=1e-6)
    for gamma in (1e30, np.inf):
        np.testing.assert_allclose(SquareCB(VALUES, MASK, gamma=gamma).probs, Greedy(VALUES, MASK).probs, atol=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 3.0, np.inf])
def test_ties_leave_the_rest_to_the_lowest_and_a_share_to_the_others(gamma: float):
    probs = SquareCB(np.array([[-1e30, 3.0, 3.0, 3.0]]), gamma=gamma).probs[0]
    share = 0.25 if gamma == 0 else 0.0
    np.testing.assert_allclose(probs, [share, 0.5 - share, 0.25, 0.25], rtol=1e-6, atol=1e-7)


def test_gamma_is_each_rows_own_and_a_row_of_nan_is_not_valid():
    distribution = SquareCB(np.array([[0.0, 1.0]] * 3), gamma=np.array([0.0, 2.0, np.nan]))
    np.testing.assert_allclose(distribution.probs, [[0.5, 0.5], [0.25, 0.75], [0, 0]])
    assert distribution.mode().tolist() == [1, 1, invalid_action(np.int32)]
    assert distribution.sample(jax.random.key(0)).tolist()[2] == invalid_action(np.int32)


def test_values_that_are_masked_or_minus_infinity_do_no_harm():
    spoiled = np.where(MASK, VALUES, np.nan)
    np.testing.assert_array_equal(SquareCB(spoiled, MASK, gamma=2.0).probs, SquareCB(VALUES, MASK, gamma=2.0).probs)
    for gamma, share in ((0.0, 0.5), (1.0, 0.0)):
        np.testing.assert_allclose(SquareCB(np.array([-np.inf, 0.0]), gamma=gamma).probs, [share, 1 - share])


def test_frequencies_of_a_million_draws_are_the_probabilities_and_weigh_without_bias():
    values = np.array([0.3, -1.2, 1.1, 0.9, 1.1, -4.0, 0.0], np.float32)
    distribution = SquareCB(values, np.array([1, 1, 0, 1, 1, 1, 1]), gamma=6.0)
    draws = np.asarray(distribution.sample(jax.random.key(3), (10**6,)))
    probs = np.asarray(distribution.probs, np.float64)
    counts, expected = np.bincount(draws, minlength=7), probs * 10**6
    # 5 degrees of freedom: 30 is exceeded once in 100,000 times.
    assert ((counts - expected)[probs > 0] ** 2 / expected[probs > 0]).sum() < 30
    # What the policy that always takes action 1 would earn: E[1(a = 1) / p(a) * r(a)] = r(1) = -1.2.
    weight = np.exp(-np.asarray(distribution.log_prob(jnp.asarray(draws)), np.float64))
    estimate = np.where(draws == 1, weight * values[1], 0.0)
    assert abs(estimate.mean() - values[1]) < 3 * estimate.std() / 10**3


def test_gradients_are_finite():
    def objective(values: jax.Array, gamma: jax.Array) -> jax.Array:
        distribution = SquareCB(values, MASK, gamma=gamma)
        return jnp.sum(distribution.entropy()) + jnp.sum(distribution.probs**2)

    for gamma in (0.0, 3.0):
        for gradient in jax.grad(objective, (0, 1))(jnp.asarray(VALUES), jnp.asarray(gamma)):
            assert np.isfinite(gradient).all()
