"""Noisy layers: what is drawn, what learns, and that networks without them are left alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdaw import specs
from jaxdaw.errors import ConfigError
from jaxdaw.networks import DuelingQNetwork, EncodingNetwork, NoisyDense, QNetwork, is_noisy, with_noise

from .test_q import ROWS, VECTOR, action

NETWORK = QNetwork(VECTOR, action(), fc_layer_params=(16, 64), noisy=True)
WEIGHTS = NETWORK.get_weights()
KEYS = jax.random.split(jax.random.key(0), 4000)


def test_the_layer_starts_as_the_paper_says():
    """Means uniform within 1/sqrt(16) = .25; deviations .5/sqrt(16) = .125."""
    layer = NoisyDense(16, 400, rngs=nnx.Rngs(0))
    for mean in (layer.kernel.get_value(), layer.bias.get_value()):
        assert 0.24 < float(jnp.max(jnp.abs(mean))) <= 0.25
        np.testing.assert_allclose(jnp.std(mean), 0.25 / np.sqrt(3), rtol=0.1)
    for deviation in (layer.kernel_deviation.get_value(), layer.bias_deviation.get_value()):
        np.testing.assert_array_equal(deviation, np.float32(0.125))


def test_without_a_draw_the_means_compute():
    head, features = WEIGHTS.params["q"], ROWS
    for name in ("layer_0", "layer_1"):
        hidden = WEIGHTS.params["encoder"][name]
        features = np.maximum(features @ hidden["kernel"] + hidden["bias"], 0)
    np.testing.assert_allclose(NETWORK(ROWS)[0], features @ head["kernel"] + head["bias"], rtol=1e-4, atol=1e-5)


def test_noise_is_factorised_and_as_large_as_the_deviations():
    drawn = jax.jit(jax.vmap(lambda key: with_noise(WEIGHTS, key).params["q"]))(KEYS)
    head = WEIGHTS.params["q"]
    noise = (np.asarray(drawn["kernel"]) - head["kernel"]) / head["kernel_deviation"]
    bias = (np.asarray(drawn["bias"]) - head["bias"]) / head["bias_deviation"]
    assert np.linalg.matrix_rank(noise[0], tol=1e-3) == 1  # an outer product
    # f(x) = sign(x) sqrt(|x|): E f = 0 and E f^2 = E |x| = sqrt(2 / pi), for an entry of the kernel its square.
    np.testing.assert_allclose(noise.mean(axis=0), 0.0, atol=0.06)
    np.testing.assert_allclose(np.square(bias).mean(axis=0), np.sqrt(2 / np.pi), rtol=0.08)
    np.testing.assert_allclose(np.square(noise).mean(), 2 / np.pi, rtol=0.05)
    np.testing.assert_array_equal(drawn["kernel_deviation"][0], head["kernel_deviation"])


def test_layers_draw_apart_and_keys_decide():
    first, again, other = (with_noise(WEIGHTS, key).params for key in (KEYS[0], KEYS[0], KEYS[1]))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.array_equal(first["q"]["kernel"], other["q"]["kernel"])
    hidden = first["encoder"]["layer_1"]["bias"] - WEIGHTS.params["encoder"]["layer_1"]["bias"]
    assert not np.allclose(np.sign(hidden[:3]), 0)
    head = first["q"]["bias"] - WEIGHTS.params["q"]["bias"]
    assert not np.allclose(hidden[:3] / np.abs(hidden[:3]).max(), head / np.abs(head).max())


def test_means_and_deviations_learn_through_the_draw():
    def loss(params, key):
        return jnp.sum(jnp.square(NETWORK.apply(with_noise(WEIGHTS._replace(params=params), key), ROWS)[0]))

    gradients = jax.grad(loss)(WEIGHTS.params, KEYS[0])
    assert all(float(jnp.max(jnp.abs(leaf))) > 0 for leaf in jax.tree.leaves(gradients))


def test_networks_without_noisy_layers_are_left_alone():
    plain = QNetwork(VECTOR, action()).get_weights()
    assert with_noise(plain, KEYS[0]) is plain
    assert is_noisy(WEIGHTS)
    assert not is_noisy(plain)


IMAGE = specs.BoundedTensorSpec((8, 8, 1), np.uint8, 0, 255)


@pytest.mark.parametrize(
    ("spec", "options", "plain"),
    [(VECTOR, {}, "encoder/layer_0"), (IMAGE, {"conv_layer_params": [(2, 3, 2)]}, "encoder/conv_0")],
)
def test_all_dense_layers_are_noisy_but_one_that_reads_the_observation(spec, options, plain):
    names = DuelingQNetwork(spec, action(), fc_layer_params=(4, 4), noisy=True, **options).variable_names
    kernels = [name for name in names if name.endswith("/kernel")]
    assert [name for name in kernels if f"{name}_deviation" not in names] == [f"{plain}/kernel"]


def test_dropout_of_noisy_layers_is_refused():
    with pytest.raises(ConfigError, match="neither dropout nor weight decay"):
        EncodingNetwork(VECTOR, fc_layer_params=(4,), dropout_layer_params=(0.1,), noisy=True)
