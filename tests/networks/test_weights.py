"""The map between variables and dictionaries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdaw import specs
from jaxdaw.errors import ConfigError
from jaxdaw.networks import Network

VECTOR = specs.TensorSpec((2,), np.float32)


class Statistics(nnx.Variable):
    """What a user may add to what nnx knows."""


class Odd(Network):
    """Variables in a dictionary, one of a kind of its own, and one that is held twice."""

    def __init__(self, input_tensor_spec):
        super().__init__(input_tensor_spec)
        self.table = nnx.Dict(zeta=nnx.Param(jnp.ones(2)), alpha=nnx.Param(jnp.zeros(2)))
        self.mean = Statistics(jnp.zeros(2))
        self.same = self.table["zeta"]

    def call(self, observation, training=False):
        if training:
            self.mean.set_value(self.mean.get_value() + observation.mean(axis=0))
        return observation * self.same[...] + self.table["alpha"][...], ()


def test_dictionaries_and_shared_variables():
    network = Odd(VECTOR)
    # nnx calls what is held twice by the name that comes first in the alphabet, and we say where that one stands.
    assert network.variable_names == ["table/alpha", "mean", "same"]
    assert len(network.variables) == 3
    weights = network.get_weights()
    assert sorted(weights.rest) == ["mean"]

    x = np.array([[1.0, 3.0], [3.0, 5.0]], np.float32)
    output, _, rest = jax.jit(lambda w: network.apply(w, x, training=True))(weights)
    np.testing.assert_array_equal(output, x)
    np.testing.assert_array_equal(rest["mean"], [2, 4])
    network.set_weights(weights._replace(rest=rest))
    np.testing.assert_array_equal(network.mean[...], [2, 4])
    np.testing.assert_array_equal(network.clone().mean[...], [2, 4])


def test_a_variable_holds_one_array():
    class Nested(Network):
        def __init__(self, input_tensor_spec):
            super().__init__(input_tensor_spec)
            self.moments = nnx.Param({"mean": jnp.zeros(2), "count": jnp.zeros(())})

    with pytest.raises(ConfigError, match="variable moments holds a nest of arrays"):
        Nested(VECTOR).get_weights()
