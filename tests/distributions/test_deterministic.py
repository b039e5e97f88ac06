"""Deterministic."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.distributions import Deterministic
from jaxdaw.errors import SpecError


def test_deterministic_has_all_mass_on_its_value():
    value = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    distribution = Deterministic(value, event_ndims=1)
    assert (distribution.batch_shape, distribution.event_shape) == ((2,), (2,))
    np.testing.assert_array_equal(distribution.sample(jax.random.key(0), (3,)), np.tile(value, (3, 1, 1)))
    np.testing.assert_array_equal(distribution.mode(), value)
    assert distribution.log_prob(jnp.array([[1.0, 2.0], [3.0, 5.0]])).tolist() == [0.0, -np.inf]
    assert distribution.entropy().tolist() == [0.0, 0.0]


def test_values_of_another_shape_are_refused_not_broadcast():
    with pytest.raises(SpecError, match="value does not fit the rows"):
        Deterministic(jnp.zeros(3)).log_prob(jnp.zeros((3, 1)))


def test_is_a_pytree():
    distribution = Deterministic(jnp.ones((3, 2)), 1)
    assert jax.jit(lambda d: d.entropy())(distribution).shape == (3,)
    assert jax.vmap(lambda d: d.mode())(distribution).shape == (3, 2)
    assert jax.tree.map(lambda leaf: leaf[0], distribution).event_shape == (2,)
