import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats
from sklearn import metrics

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


NEAR = np.array([1e-6, 3e-7, 1e-4, 0.1, 0.5, 0.8, 0.999, 1 - 1e-5])  # in the logarithm's part
BEYOND = np.array([0.0, 1e-9, 1e-7, 1 - 2.0**-24, 1.0])  # in that of its tangents


def oracle(target, prediction):
    """SciPy's binomial likelihood in float64; from 2**-23 on, its first two Taylor terms there."""
    within = np.clip(prediction, 2.0**-23, 1 - 2.0**-23)
    slope = (within - target) / (within * (1 - within))
    return -stats.bernoulli.logpmf(target, within) + slope * (prediction - within)


@pytest.mark.parametrize("target", [0, 1])
def test_log_loss_equals_that_of_scikit_learn(target):
    found = math.element_wise_log_loss(np.full(len(NEAR), target, np.float32), np.float32(NEAR))
    expected = [metrics.log_loss([target], [p], labels=[0, 1]) for p in np.float64(np.float32(NEAR))]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("target", [0, 1])
def test_log_loss_and_its_gradient_go_on_beyond_certainty(target):
    at = np.float32(np.concatenate([NEAR, BEYOND, [-0.5 if target == 1 else 1.25]]))
    value, gradient = jax.vmap(jax.value_and_grad(lambda p: math.element_wise_log_loss(jnp.float32(target), p)))(at)
    np.testing.assert_allclose(value, oracle(target, np.float64(at)), rtol=1e-5, atol=1e-6)
    at, step = np.float64(at), 1e-9
    slope = (oracle(target, at + step) - oracle(target, at - step)) / (2 * step)
    np.testing.assert_allclose(gradient, slope, rtol=1e-3)
    assert (np.sign(gradient) == (1 if target == 0 else -1)).all()


def test_log_loss_of_shares_is_the_mean_over_both_outcomes():
    """-0.3 log 0.2 - 0.7 log 0.8."""
    found = math.element_wise_log_loss(jnp.float32(0.3), jnp.float32(0.2))
    np.testing.assert_allclose(found, -0.3 * np.log(0.2) - 0.7 * np.log(0.8), rtol=1e-6)


def test_a_sigmoid_that_is_sure_and_wrong_learns_again():
    """The gradient at a logit of -18, probability 1.5e-8: 2**23 p, where a clipped logarithm has 0."""
    logit = jnp.float32(-18.0)
    slope = jax.grad(lambda z: math.element_wise_log_loss(jnp.float32(1.0), jax.nn.sigmoid(z)))(logit)
    np.testing.assert_allclose(slope, -(2.0**23) / (1 + np.exp(18.0)), rtol=1e-4)
