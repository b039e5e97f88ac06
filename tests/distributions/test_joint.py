"""Joint: independent parts, one batch shape."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.distributions import Categorical, Deterministic, Joint, TanhNormal, Uniform
from jaxdaw.errors import SpecError

LOGITS = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


def joint() -> Joint:
    return Joint({"gear": Categorical(LOGITS), "gas": (Uniform(jnp.zeros((3, 2)), jnp.full((3, 2), 2.0), 1),)})


def test_shapes_are_those_of_the_parts():
    assert joint().batch_shape == (3,)
    assert joint().event_shape == {"gear": (), "gas": ((2,),)}
    assert Joint(()).batch_shape == ()


def test_log_prob_and_entropy_are_sums_over_the_parts():
    value = {"gear": jnp.array([0, 1, 3]), "gas": (jnp.ones((3, 2)),)}
    expected = Categorical(LOGITS).log_prob(value["gear"]) - 2 * np.log(2.0)
    np.testing.assert_allclose(joint().log_prob(value), expected, rtol=1e-6)
    np.testing.assert_allclose(joint().entropy(), Categorical(LOGITS).entropy() + 2 * np.log(2.0), rtol=1e-6)


def test_parts_are_drawn_independently():
    twice = Joint((Categorical(np.zeros(2)), Categorical(np.zeros(2))))
    first, second = (np.asarray(part) for part in twice.sample(jax.random.key(0), (10**5,)))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.015


def test_sample_and_log_prob_scores_its_own_draw():
    """A squashed sample that has reached its bound is scored by what it was before it was squashed."""
    far = TanhNormal(jnp.full((3, 2), 50.0), jnp.ones((3, 2)), event_ndims=1)
    both = Joint({"gear": Categorical(LOGITS), "steer": far})
    key = jax.random.key(1)
    value, found = both.sample_and_log_prob(key, (4,))
    jax.tree.map(np.testing.assert_array_equal, value, both.sample(key, (4,)))
    steer, _ = far.sample_and_log_prob(jax.random.split(key)[1], (4,))
    np.testing.assert_array_equal(steer, value["steer"])
    gear = Categorical(jnp.broadcast_to(LOGITS, (4, 3, 4))).log_prob(value["gear"])
    np.testing.assert_allclose(found - gear, far.sample_and_log_prob(jax.random.split(key)[1], (4,))[1], rtol=1e-5)
    assert (np.asarray(found) > 150).all()  # 2 (50 - log 2) for each of two elements, and what the normals add


def test_sample_and_mode_have_the_structure_of_the_parts():
    sample = joint().sample(jax.random.key(0), (7,))
    assert jax.tree.map(jnp.shape, sample) == {"gear": (7, 3), "gas": ((7, 3, 2),)}
    np.testing.assert_array_equal(joint().mode()["gear"], Categorical(LOGITS).mode())


def test_is_a_pytree():
    mode = jax.jit(lambda distribution: distribution.mode())(joint())
    np.testing.assert_array_equal(mode["gear"], Categorical(LOGITS).mode())
    assert jax.vmap(lambda distribution: distribution.entropy())(joint()).shape == (3,)


def test_values_of_another_structure_are_refused():
    with pytest.raises(ValueError, match="gas"):
        joint().log_prob({"gear": jnp.zeros(3, jnp.int32)})


def test_several_batch_shapes_are_refused():
    with pytest.raises(SpecError, match=r"one batch shape\n.*got  \(2,\), \(3,\)"):
        Joint((Deterministic(jnp.zeros(3)), Deterministic(jnp.zeros(2))))
