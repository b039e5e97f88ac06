"""Sequential."""

import jax
import numpy as np
import pytest
from flax import nnx

from jaxdaw import specs
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.networks import EncodingNetwork, RecurrentCore, Sequential, as_rngs

VECTOR = specs.TensorSpec((3,), np.float32)
ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def stack(rngs=0):
    rngs = as_rngs(rngs)
    return Sequential(
        [
            EncodingNetwork(VECTOR, fc_layer_params=(4,), rngs=rngs),
            RecurrentCore(specs.TensorSpec((4,), np.float32), 2, "gru", rngs=rngs),
            lambda x: 2 * x,
            RecurrentCore(specs.TensorSpec((2,), np.float32), 3, rngs=rngs),
            lambda rngs: nnx.Linear(3, 1, rngs=rngs),
        ],
        rngs=rngs,
    )


def test_layers_run_one_after_the_other():
    network = stack()
    encoder, first, _, second, linear = network.layer
    x, _ = encoder(ROWS)
    x, state_0 = first(x)
    x, state_1 = second(2 * x)
    output, state = network(ROWS)
    np.testing.assert_allclose(output, linear(x)[0], rtol=1e-6)
    assert jax.tree.structure(state) == jax.tree.structure((state_0, state_1))
    assert network.input_tensor_spec == VECTOR
    assert network.create_variables() == specs.TensorSpec((1,), np.float32)


def test_state_spec_has_an_entry_for_each_layer_with_memory():
    network = stack()
    assert network.state_spec == (network.layer[1].state_spec, network.layer[3].state_spec)
    assert Sequential([lambda x: x], VECTOR).state_spec == ()


def test_sequences():
    network = stack()
    sequence = np.stack([ROWS, ROWS], axis=1)
    step_type = np.array([[0, 1]] * 5, np.int32)
    output, _, _ = jax.jit(network.apply)(network.get_weights(), sequence, step_type)
    _, state = network(ROWS, step_type[:, 0])
    np.testing.assert_allclose(output[:, 1], network(ROWS, step_type[:, 1], state)[0], rtol=1e-5)


def test_copy_is_fresh_and_clone_keeps():
    network = stack()
    np.testing.assert_array_equal(network.clone()(ROWS)[0], network(ROWS)[0])
    copy = network.copy()
    for (name, a), (_, b) in zip(network.named_variables(), copy.named_variables(), strict=True):
        if name.endswith("kernel"):
            assert not np.allclose(a.get_value(), b.get_value()), name
    population = jax.vmap(network.init_weights)(jax.random.split(jax.random.key(0), 2))
    kernel = population.params["layer_0"]["layer_0"]["kernel"]
    assert not np.allclose(kernel[0], kernel[1])


def test_layers_are_held_not_copied():
    encoder = EncodingNetwork(VECTOR, fc_layer_params=(4,))
    network = Sequential([encoder])
    network.set_weights(jax.tree.map(lambda w: 0 * w, network.get_weights()))
    np.testing.assert_array_equal(encoder(ROWS)[0], np.zeros((5, 4)))


def test_training_reaches_the_layers():
    network = Sequential([lambda rngs: nnx.Dropout(0.5, rngs=rngs)], VECTOR)
    np.testing.assert_array_equal(network(ROWS)[0], ROWS)
    assert not np.allclose(network(ROWS, training=True)[0], ROWS)


def test_bad_layers_are_refused():
    with pytest.raises(ConfigError, match="at least one layer"):
        Sequential([], VECTOR)
    with pytest.raises(TypeError, match="must be callable"):
        Sequential([3], VECTOR)
    with pytest.raises(ConfigError, match="cannot be a layer"):
        Sequential([nnx.Linear(3, 1, rngs=nnx.Rngs(0))], VECTOR)
    with pytest.raises(SpecError, match="observation given to EncodingNetwork"):
        Sequential([lambda x: x[:, :2], EncodingNetwork(VECTOR)], VECTOR)(ROWS)
