"""What counts as a layer."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdaw import specs
from jaxdaw.networks import EncodingNetwork, Sequential

VECTOR = specs.TensorSpec((3,), np.float32)


class Doubled(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.linear = nnx.Linear(3, 2, rngs=rngs)

    def __call__(self, x):
        return 2 * self.linear(x)


@pytest.mark.parametrize(
    ("layer", "has_weights"),
    [
        (lambda rngs: nnx.Linear(3, 2, rngs=rngs), True),
        (Doubled, True),
        (functools.partial(nnx.Linear, 3, 2), True),
        (EncodingNetwork(VECTOR, fc_layer_params=(2,)), True),
        (lambda x: x[:, :2], False),
        (lambda x, scale=2.0: scale * x, False),
        (jnp.tanh, False),
        (functools.partial(jnp.multiply, 2.0), False),
    ],
    ids=["factory", "class", "partial", "network", "function", "option", "ufunc", "partial function"],
)
def test_factories_networks_and_functions(layer, has_weights):
    network = Sequential([layer], VECTOR)
    output, _ = network(np.ones((1, 3), np.float32))
    assert output.ndim == 2
    assert bool(network.trainable_variables) == has_weights
