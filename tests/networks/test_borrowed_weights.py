"""holding: gradients through a network that a function calls by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdaw import networks, specs

SPEC = specs.TensorSpec((3,), np.float32)
ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


class Noisy(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(3, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dropout(self.norm(self.first(x)))


def test_gradients_and_changes_equal_those_of_apply():
    network = networks.Network.from_factory(Noisy, SPEC)
    weights = jax.tree.map(jnp.copy, network.get_weights())

    def by_holding(params):
        with networks.holding(network, networks.Weights(params, weights.rest)):
            output = network(ROWS, training=True)[0]
            return jnp.sum(output**2), network.get_weights().rest

    def by_applying(params):
        output, _, rest = network.apply(networks.Weights(params, weights.rest), ROWS, training=True)
        return jnp.sum(output**2), rest

    ours, ours_rest = jax.jit(jax.grad(by_holding, has_aux=True))(weights.params)
    wanted, wanted_rest = jax.jit(jax.grad(by_applying, has_aux=True))(weights.params)
    for a, b in zip(jax.tree.leaves((ours, ours_rest)), jax.tree.leaves((wanted, wanted_rest)), strict=True):
        np.testing.assert_allclose(
            *(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in (a, b)), rtol=1e-5
        )
    assert any(np.any(np.asarray(g)) for g in jax.tree.leaves(ours))


def test_weights_are_back_after_an_error():
    network = networks.QNetwork(SPEC, specs.BoundedTensorSpec((), np.int32, 0, 1))
    before = network(ROWS)[0]
    zeros = jax.tree.map(jnp.zeros_like, network.get_weights())

    def fail():
        with networks.holding(network, zeros):
            assert not np.any(network(ROWS)[0])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    np.testing.assert_array_equal(network(ROWS)[0], before)
