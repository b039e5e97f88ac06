"""Foreign nnx modules as networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdaw import specs
from jaxdaw.networks import Network

VECTOR = specs.TensorSpec((3,), np.float32)
ROWS = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)


class Block(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.norm = nnx.BatchNorm(3, momentum=0.9, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.linear = nnx.Linear(3, 2, rngs=rngs)

    def __call__(self, x):
        return self.linear(self.dropout(self.norm(x)))


class Told(Block):
    def __call__(self, x, training):
        return self.linear(self.dropout(self.norm(x, use_running_average=not training), deterministic=not training))


class Adder(nnx.Module):
    def __init__(self, rngs):
        self.linear = nnx.Linear(3, 3, rngs=rngs)

    def __call__(self, x, step_type, network_state):
        total = jnp.where((step_type == 0)[:, None], 0.0, network_state) + x
        return self.linear(total), total


@pytest.mark.parametrize("module", [Block, Told])
def test_batch_norm_and_dropout_follow_training(module):
    network = Network.from_factory(lambda rngs: module(rngs), VECTOR)
    weights = network.get_weights()
    assert network.name == module.__name__
    assert sorted(weights.rest["module"]["norm"]) == ["mean", "var"]

    # Outside training: running statistics (mean 0, variance 1), no dropout, nothing moves.
    linear = weights.params["module"]["linear"]
    expected = ROWS / np.sqrt(1 + 1e-5) @ linear["kernel"] + linear["bias"]
    output, _, rest = jax.jit(network.apply)(weights, ROWS)
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(rest["module"]["norm"]["mean"], np.zeros(3))

    # In training: mean <- 0.9 mean + 0.1 batch mean, and the dropout counter moves on.
    output, _, rest = jax.jit(lambda w: network.apply(w, ROWS, training=True))(weights)
    np.testing.assert_allclose(rest["module"]["norm"]["mean"], 0.1 * ROWS.mean(axis=0), rtol=1e-4, atol=1e-6)
    assert int(rest["module"]["dropout"]["rngs"]["count"]) == 1

    # Eagerly the same, and the network itself moves.
    eager, _ = network(ROWS, training=True)
    np.testing.assert_allclose(eager, output, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(network.module.norm.mean[...], 0.1 * ROWS.mean(axis=0), rtol=1e-4, atol=1e-6)
    assert not np.allclose(network(ROWS, training=True)[0], eager)


def test_copy_and_clone():
    network = Network.from_factory(lambda rngs: Block(rngs), VECTOR, name="B")
    np.testing.assert_array_equal(network.clone()(ROWS)[0], network(ROWS)[0])
    copy = network.copy()
    assert copy.name == "B"
    assert not np.allclose(copy(ROWS)[0], network(ROWS)[0])


def test_a_module_with_memory_returns_a_pair():
    network = Network.from_factory(lambda rngs: Adder(rngs), VECTOR, state_spec=VECTOR)
    step_type = np.ones(64, np.int32)
    _, state = network(ROWS, step_type)
    _, state = network(ROWS, step_type, state)
    np.testing.assert_allclose(state, 2 * ROWS, rtol=1e-6)
    _, state = network(ROWS, 0 * step_type, state)
    np.testing.assert_array_equal(state, ROWS)


def test_a_tuple_is_an_output_when_there_is_no_memory():
    network = Network.from_factory(lambda rngs: lambda x: (x, x + 1), VECTOR)
    output, state = network(ROWS)
    assert isinstance(output, tuple)
    assert state == ()
    assert network.create_variables() == (VECTOR, VECTOR)
