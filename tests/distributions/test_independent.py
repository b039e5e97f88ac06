"""Independent: sums over the elements of one value."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.distributions import Categorical, Independent, Joint, Normal

LOGITS = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)


def test_equals_distrax():
    ours = Independent(Categorical(LOGITS))
    theirs = distrax.Independent(distrax.Categorical(jnp.asarray(LOGITS)), 1)
    value = jnp.array([[0, 1], [2, 2], [1, 0], [0, 0], [1, 2]])
    np.testing.assert_allclose(ours.log_prob(value), theirs.log_prob(value), rtol=1e-5)
    np.testing.assert_allclose(ours.entropy(), theirs.entropy(), rtol=1e-5)
    np.testing.assert_array_equal(ours.mode(), LOGITS.argmax(-1))
    assert (ours.batch_shape, ours.event_shape) == ((5,), (2,))
    assert ours.sample(jax.random.key(0), (7,)).shape == (7, 5, 2)


def test_goes_into_a_joint_with_others():
    joint = Joint({"a": Independent(Categorical(LOGITS)), "b": Normal(jnp.zeros((5, 3)), 1.0, event_ndims=1)})
    assert jax.jit(lambda j, k: j.log_prob(j.sample(k)))(joint, jax.random.key(0)).shape == (5,)
