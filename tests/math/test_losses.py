import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdaw import math
from jaxdaw.errors import SpecError


def test_huber_equals_optax():
    error = jnp.linspace(-5, 5, 101)
    np.testing.assert_allclose(
        math.element_wise_huber_loss(error, jnp.zeros(101)), optax.huber_loss(error, jnp.zeros(101)), rtol=1e-6
    )


@pytest.mark.parametrize("loss", [math.element_wise_huber_loss, math.element_wise_squared_loss])
def test_losses_refuse_to_broadcast(loss):
    with pytest.raises(SpecError, match=r"expected  \(3,\) +got  \(3, 1\)"):
        loss(jnp.zeros((3, 1)), jnp.zeros(3))


def test_index_with_actions_gives_nan_outside_and_gradients_inside():
    values = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    np.testing.assert_array_equal(math.index_with_actions(values, jnp.array([0, 2, -1])), [1.0, np.nan, np.nan])
    gradient = jax.grad(lambda v: jnp.sum(math.index_with_actions(v, jnp.array([0, 1, 1]))))(values)
    np.testing.assert_array_equal(gradient, [[1, 0], [0, 1], [0, 1]])


def test_absolute_loss_is_the_distance():
    np.testing.assert_array_equal(
        math.element_wise_absolute_loss(np.array([3.0, -1.0]), np.array([1.0, 1.0])), [2.0, 2.0]
    )


def test_log_loss_is_the_negative_log_likelihood_and_its_gradient_is_finite_everywhere():
    """-log of the probability of what happened; certain and wrong costs 23 log 2, not infinity."""
    target, prediction = np.array([1.0, 0.0, 1.0, 0.0, 0.3]), np.array([0.8, 0.8, 0.0, 1.0, 0.5])
    expected = [-np.log(0.8), -np.log(0.2), 23 * np.log(2), 23 * np.log(2), np.log(2)]
    np.testing.assert_allclose(math.element_wise_log_loss(target, prediction), expected, rtol=1e-5)
    gradient = jax.grad(lambda p: math.element_wise_log_loss(jnp.asarray(target), p).sum())(jnp.asarray(prediction))
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient[:2], [-1 / 0.8, 1 / 0.2], rtol=1e-5)
