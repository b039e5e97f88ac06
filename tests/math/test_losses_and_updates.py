import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdaw import math
from jaxdaw.errors import SpecError


def test_huber_equals_optax():
    error = jnp.linspace(-5, 5, 101)
    np.testing.assert_allclose(math.element_wise_huber_loss(error, jnp.zeros(101)), optax.huber_loss(error, jnp.zeros(101)), rtol=1e-6)


@pytest.mark.parametrize("loss", [math.element_wise_huber_loss, math.element_wise_squared_loss])
def test_losses_refuse_to_broadcast(loss):
    with pytest.raises(SpecError, match=r"expected  \(3,\) +got  \(3, 1\)"):
        loss(jnp.zeros((3, 1)), jnp.zeros(3))


def test_index_with_actions_gives_nan_outside_and_gradients_inside():
    values = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    np.testing.assert_array_equal(math.index_with_actions(values, jnp.array([0, 2, -1])), [1.0, np.nan, np.nan])
    gradient = jax.grad(lambda v: jnp.sum(math.index_with_actions(v, jnp.array([0, 1, 1]))))(values)
    np.testing.assert_array_equal(gradient, [[1, 0], [0, 1], [0, 1]])


def test_clip_by_norm_is_per_variable():
    clip = math.clip_by_norm_per_variable(1.0)
    got, _ = clip.update({"a": jnp.array([3.0, 4.0]), "b": jnp.array([0.3, 0.4]), "c": jnp.zeros(2)}, clip.init(None))
    np.testing.assert_allclose(got["a"], [0.6, 0.8], rtol=1e-6)  # [3, 4] / 5
    np.testing.assert_allclose(got["b"], [0.3, 0.4], rtol=1e-6)  # norm .5: left alone
    np.testing.assert_array_equal(got["c"], [0.0, 0.0])


def test_soft_update_copies_integers_and_blends_floats():
    got = math.soft_update({"w": jnp.array(1.0), "n": jnp.array(1)}, {"w": jnp.array(3.0), "n": jnp.array(7)}, 0.25)
    assert float(got["w"]) == 1.5
    assert int(got["n"]) == 7
