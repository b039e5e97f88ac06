"""Normal and TanhNormal against distrax, NumPy in float64 and frequencies."""

from __future__ import annotations

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxdaw.distributions import Normal, TanhNormal
from jaxdaw.errors import SpecError

LOC = np.array([[0.3, -1.2], [2.0, 0.0]], np.float32)
SCALE = np.array([[0.5, 1.5], [0.1, 1.0]], np.float32)
LOW, HIGH = np.array([-2.0, 0.0], np.float32), np.array([2.0, 5.0], np.float32)


def test_normal_equals_distrax():
    ours = Normal(LOC, SCALE, event_ndims=1)
    theirs = distrax.MultivariateNormalDiag(jnp.asarray(LOC), jnp.asarray(SCALE))
    value = jnp.asarray(LOC + 0.7)
    np.testing.assert_allclose(ours.log_prob(value), theirs.log_prob(value), rtol=1e-5)
    np.testing.assert_allclose(ours.entropy(), theirs.entropy(), rtol=1e-5)
    np.testing.assert_array_equal(ours.mode(), LOC)
    assert (ours.batch_shape, ours.event_shape) == ((2,), (2,))


def test_normal_samples_have_its_moments_and_rows_of_their_own():
    draws = np.asarray(Normal(LOC, SCALE).sample(jax.random.key(0), (200_000,)))
    np.testing.assert_allclose(draws.mean(0), LOC, atol=0.02)
    np.testing.assert_allclose(draws.std(0), SCALE, rtol=0.01)
    assert np.abs(np.corrcoef(draws.reshape(-1, 4).T) - np.eye(4)).max() < 0.02


def log_density(loc, scale, x):
    """Of tanh(x) of a normal x, in float64: SciPy's density, and the log of tanh's slope by its exponentials."""
    x = np.asarray(x, np.float64)
    log_slope = np.log(4.0) - 2 * np.abs(x) - 2 * np.log1p(np.exp(-2 * np.abs(x)))
    return scipy.stats.norm.logpdf(x, loc, scale) - log_slope


@pytest.mark.parametrize("x", [-80.0, -20.0, -9.5, -3.0, 0.0, 1e-4, 2.0, 9.5, 40.0])
def test_the_log_density_of_a_sample_is_exact_however_far_it_is_squashed(x):
    loc, scale = np.float32(0.3), np.float32(1.5)
    noise = np.float32((x - 0.3) / 1.5)
    ours = TanhNormal(loc, scale, -2.0, 4.0)
    value, found = ours.from_noise(noise)
    drawn = np.float64(loc) + np.float64(scale) * np.float64(noise)
    np.testing.assert_allclose(found, log_density(0.3, 1.5, drawn) - np.log(3.0), rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose(value, 1.0 + 3.0 * np.tanh(drawn), rtol=1e-6)

    def density(loc):
        return TanhNormal(loc, scale, -2.0, 4.0).from_noise(noise)[1]

    # The noise is fixed, so only the slope of tanh changes: the derivative of -log(1 - tanh(x)**2) is 2 tanh(x).
    np.testing.assert_allclose(jax.grad(density)(loc), 2 * np.tanh(drawn), rtol=1e-5, atol=1e-6)


def test_sample_and_log_prob_is_one_draw_of_both():
    ours, key = TanhNormal(LOC, SCALE, LOW, HIGH, event_ndims=1), jax.random.key(3)
    value, found = ours.sample_and_log_prob(key, (5,))
    np.testing.assert_array_equal(value, ours.sample(key, (5,)))
    assert (value.shape, found.shape) == ((5, 2, 2), (5, 2))
    np.testing.assert_allclose(found, ours.log_prob(value), rtol=1e-4, atol=1e-4)
    plain = Normal(LOC, SCALE, event_ndims=1)
    value, found = plain.sample_and_log_prob(key)
    np.testing.assert_allclose(found, plain.log_prob(value), rtol=1e-5, atol=1e-5)
    with pytest.raises(SpecError, match="noise does not fit the rows"):
        ours.from_noise(jnp.zeros((2, 1)))


@pytest.mark.parametrize("distance", [1e-30, 1e-12, 1e-6])
def test_a_value_next_to_a_bound_is_scored_as_it_is(distance):
    """Floats are dense near 0: a bound at 0 has values much closer to it than tanh could tell from 1."""
    ours = TanhNormal(jnp.float32(0.5), jnp.float32(2.0), 0.0, 4.0)
    u = np.float64(np.float32(distance)) / 2.0  # the distance to -1
    want = log_density(0.5, 2.0, 0.5 * np.log(u / (2.0 - u))) - np.log(2.0)
    np.testing.assert_allclose(ours.log_prob(np.float32(distance)), want, rtol=1e-6)


def test_a_value_on_a_bound_counts_as_the_float_next_to_it():
    ours = TanhNormal(jnp.float32(0.0), jnp.float32(1.0), -2.0, 2.0)
    next_to_one = np.float64(np.nextafter(np.float32(1), np.float32(0)))
    want = log_density(0.0, 1.0, np.arctanh(next_to_one)) - np.log(2.0)
    np.testing.assert_allclose(ours.log_prob(jnp.float32(2.0)), want, rtol=1e-5)
    np.testing.assert_allclose(ours.log_prob(jnp.float32(-2.0)), want, rtol=1e-5)


@pytest.mark.parametrize("x", [-8.0, -3.0, -0.5, 0.0, 2.0, 6.0])
def test_log_density_is_exact_near_the_bounds(x):
    ours = TanhNormal(jnp.float32(0.5), jnp.float32(2.0), -3.0, 1.0)
    value = np.float32(-1.0 + 2.0 * np.tanh(x))
    u = (np.float64(value) + 1.0) / 2.0
    back = np.arctanh(u)
    want = -0.5 * ((back - 0.5) / 2.0) ** 2 - np.log(2.0) - 0.5 * np.log(2 * np.pi) - np.log(2.0) - np.log1p(-(u**2))
    np.testing.assert_allclose(ours.log_prob(value), want, rtol=2e-5, atol=2e-5)


def test_a_value_on_a_bound_has_a_finite_density_and_one_beyond_has_none():
    ours = TanhNormal(jnp.zeros(2), jnp.ones(2), LOW, HIGH, event_ndims=0)
    assert np.isfinite(ours.log_prob(HIGH)).all()
    assert np.isneginf(ours.log_prob(HIGH + 0.1)).all()
    gradient = jax.grad(lambda loc: TanhNormal(loc, jnp.ones(2), LOW, HIGH).log_prob(HIGH).sum())(jnp.zeros(2))
    assert np.isfinite(gradient).all()


def test_tanh_normal_is_the_squashed_normal():
    ours = TanhNormal(LOC, SCALE, LOW, HIGH, event_ndims=1)
    draws = np.asarray(ours.sample(jax.random.key(1), (100_000,)))
    assert ((draws >= LOW) & (draws <= HIGH)).all()
    middle, half = (HIGH + LOW) / 2, (HIGH - LOW) / 2
    np.testing.assert_allclose(np.median(draws, axis=0), middle + half * np.tanh(LOC), atol=0.03)
    np.testing.assert_allclose(ours.mode(), middle + half * np.tanh(LOC), rtol=1e-6)
    estimate = -np.asarray(ours.log_prob(jnp.asarray(draws))).mean(0)
    np.testing.assert_allclose(ours.entropy(), estimate, atol=0.02)


def test_density_integrates_to_one():
    grid = np.linspace(-2.0, 2.0, 200_001, dtype=np.float32)[1:-1]
    density = np.exp(np.asarray(TanhNormal(jnp.full(grid.shape, 0.3), 0.8, -2.0, 2.0).log_prob(grid), np.float64))
    np.testing.assert_allclose(np.trapezoid(density, grid), 1.0, atol=1e-3)


@pytest.mark.parametrize("kind", [Normal, TanhNormal])
def test_both_are_pytrees_and_refuse_other_shapes(kind):
    distribution = kind(LOC, SCALE, event_ndims=1)
    twice = jax.jit(jax.vmap(lambda d: d.log_prob(d.mode())))(distribution)
    once = distribution.log_prob(distribution.mode())
    np.testing.assert_allclose(np.exp(twice), np.exp(once), rtol=1e-6)  # a logarithm near 0 has no relative precision
    with pytest.raises(SpecError, match="value does not fit the rows"):
        distribution.log_prob(jnp.zeros((2, 1)))
