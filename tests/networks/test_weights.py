"""The map between variables and dictionaries; one variable may hold a nest of arrays."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdaw import specs
from jaxdaw.networks import Network

VECTOR = specs.TensorSpec((2,), np.float32)


class Statistics(nnx.Variable):
    """What a user may add to what nnx knows."""


class Odd(Network):
    """A variable in a dictionary, one that holds a nest, and one that is held twice."""

    def __init__(self, input_tensor_spec):
        super().__init__(input_tensor_spec)
        self.table = nnx.Dict(zeta=nnx.Param(jnp.ones(2)), alpha=nnx.Param(jnp.zeros(2)))
        self.moments = Statistics({"mean": jnp.zeros(2), "count": jnp.zeros(())})
        self.same = self.table["zeta"]

    def call(self, observation, training=False):
        if training:
            old = self.moments.get_value()
            self.moments.set_value({"mean": old["mean"] + observation.mean(axis=0), "count": old["count"] + 1.0})
        return observation * self.same[...] + self.table["alpha"][...], ()


def test_dictionaries_nests_and_shared_variables():
    network = Odd(VECTOR)
    assert network.variable_names == ["table/zeta", "table/alpha", "moments"] or network.variable_names == [
        "same",
        "table/alpha",
        "moments",
    ]
    assert len(network.variables) == 3
    weights = network.get_weights()
    assert sorted(weights.rest["moments"]) == ["count", "mean"]

    x = np.array([[1.0, 3.0], [3.0, 5.0]], np.float32)
    output, _, rest = jax.jit(lambda w: network.apply(w, x, training=True))(weights)
    np.testing.assert_array_equal(output, x)
    np.testing.assert_array_equal(rest["moments"]["mean"], [2, 4])
    network.set_weights(weights._replace(rest=rest))
    assert float(network.moments.get_value()["count"]) == 1.0
    assert float(network.clone().moments.get_value()["count"]) == 1.0
