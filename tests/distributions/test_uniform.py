"""Uniform, against distrax and by counting."""

from __future__ import annotations

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.distributions import Uniform
from jaxdaw.errors import SpecError

LOW, HIGH = np.array([[-1.0, 0.0], [2.0, -5.0]], np.float32), np.array([[1.0, 0.5], [2.5, 5.0]], np.float32)


def test_uniform_over_floats_equals_distrax():
    ours = Uniform(LOW, HIGH, event_ndims=1)
    theirs = distrax.Independent(distrax.Uniform(jnp.asarray(LOW), jnp.asarray(HIGH)), 1)
    inside, outside = jnp.asarray((LOW + HIGH) / 2), jnp.asarray(HIGH + 1)
    np.testing.assert_allclose(ours.log_prob(inside), theirs.log_prob(inside), rtol=1e-6)
    np.testing.assert_array_equal(ours.log_prob(outside), theirs.log_prob(outside))
    np.testing.assert_allclose(ours.entropy(), theirs.entropy(), rtol=1e-6)


def test_uniform_over_floats_fills_its_box_evenly():
    draws = np.asarray(Uniform(LOW, HIGH, event_ndims=1).sample(jax.random.key(0), (10**5,)))
    assert np.all((draws >= LOW) & (draws <= HIGH))
    place = (draws - LOW) / (HIGH - LOW)
    counts = (np.floor(place * 20)[..., None] == np.arange(20)).sum(0)
    assert np.all((((counts - 5000) ** 2) / 5000).sum(-1) < 60)  # 19 degrees of freedom: once in 250,000 times


@pytest.mark.parametrize(("low", "high"), [(-3, 4), (0, 0), (5, 7)])
def test_uniform_over_integers_includes_both_ends(low: int, high: int):
    distribution = Uniform(jnp.int32(low), jnp.int32(high))
    draws = np.asarray(distribution.sample(jax.random.key(1), (10**5,)))
    assert draws.dtype == np.int32
    counts = np.bincount(draws - low, minlength=high - low + 1)
    assert len(counts) == high - low + 1
    assert (((counts - 10**5 / len(counts)) ** 2) / (10**5 / len(counts))).sum() < 45
    np.testing.assert_allclose(distribution.log_prob(jnp.int32(low)), -np.log(len(counts)), rtol=1e-5, atol=1e-7)
    assert np.isneginf(distribution.log_prob(jnp.int32(high + 1)))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32"])
def test_whole_range_of_an_integer_dtype_does_not_overflow(dtype: str):
    limits = np.iinfo(dtype)
    distribution = Uniform(jnp.asarray(limits.min, dtype), jnp.asarray(limits.max, dtype))
    draws = np.asarray(distribution.sample(jax.random.key(2), (10**4,)), np.float64)
    middle, width = (limits.min + limits.max) / 2, float(limits.max) - limits.min
    assert abs(draws.mean() - middle) < 0.02 * width
    assert draws.min() < limits.min + 0.01 * width
    assert draws.max() > limits.max - 0.01 * width
    np.testing.assert_allclose(distribution.entropy(), limits.bits * np.log(2), rtol=1e-5)


def test_widest_float_range_does_not_overflow():
    biggest = float(np.finfo(np.float32).max)
    distribution = Uniform(-biggest, biggest)
    assert np.isfinite(distribution.sample(jax.random.key(3), (1000,))).all()
    assert np.isfinite(distribution.entropy())


def test_bounds_broadcast_and_promote():
    distribution = Uniform(0, jnp.array([1.0, 2.0]))
    assert distribution.batch_shape == (2,)
    assert distribution.minimum.dtype == np.float32


def test_values_of_another_shape_are_refused_not_broadcast():
    with pytest.raises(SpecError, match="value does not fit the rows"):
        Uniform(jnp.zeros(3), jnp.ones(3)).log_prob(jnp.zeros((3, 1)))


def test_is_a_pytree():
    distribution = Uniform(jnp.zeros((3, 2)), 1.0, 1)
    assert jax.jit(lambda d: d.entropy())(distribution).shape == (3,)
    assert jax.vmap(lambda d: d.mode())(distribution).shape == (3, 2)
    assert jax.tree.map(lambda leaf: leaf[0], distribution).event_shape == (2,)
