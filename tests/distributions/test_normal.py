"""Normal and TanhNormal against distrax, NumPy in float64 and frequencies."""

from __future__ import annotations

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
