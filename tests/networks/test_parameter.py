"""An array that is trained and belongs to no layer."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.networks import Parameter


def test_every_seed_begins_with_the_initial_value():
    parameter = Parameter([1.0, 2.0], name="dual")
    states = jax.vmap(parameter.init_weights)(jax.random.split(jax.random.key(0), 3))
    np.testing.assert_array_equal(states.params["value"], [[1.0, 2.0]] * 3)
    assert (parameter.name, parameter.variable_names, len(parameter.trainable_variables)) == ("dual", ["value"], 1)


def test_it_returns_its_array_whatever_is_observed_and_gradients_flow():
    parameter = Parameter(0.5)
    weights = parameter.get_weights()
    assert float(parameter.apply(weights, jnp.zeros((7, 2)))[0]) == 0.5
    gradient = jax.grad(lambda p: 3.0 * parameter.apply(weights._replace(params=p), jnp.zeros(1))[0])(weights.params)
    assert float(gradient["value"]) == 3.0
