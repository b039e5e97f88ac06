"""EncodingNetwork, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdaw import specs
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.networks import EncodingNetwork, concatenate

RNG = np.random.default_rng(0)
VECTOR = specs.TensorSpec((3,), np.float32)
IMAGE = specs.BoundedTensorSpec((8, 7, 2), np.uint8, 0, 255)


def dense(x, weights):
    return np.maximum(x @ np.asarray(weights["kernel"]) + np.asarray(weights["bias"]), 0)


def convolve(x, weights, stride, dilation=1):
    """Valid cross-correlation of `[H, W, C]` with `[k, k, C, F]`, then relu."""
    kernel, bias = np.asarray(weights["kernel"]), np.asarray(weights["bias"])
    reach = (kernel.shape[0] - 1) * dilation + 1
    out = [
        [
            np.einsum("hwc,hwcf->f", x[i : i + reach : dilation, j : j + reach : dilation], kernel) + bias
            for j in range(0, x.shape[1] - reach + 1, stride)
        ]
        for i in range(0, x.shape[0] - reach + 1, stride)
    ]
    return np.maximum(np.array(out), 0)


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        (VECTOR, 3),
        (specs.TensorSpec((), np.float32), 1),
        (specs.TensorSpec((2, 3), np.float32), 6),
        (specs.BoundedTensorSpec((4,), np.int32, 0, 9), 4),
        (specs.BoundedTensorSpec((4,), np.uint8, 0, 9), 4),
        (specs.TensorSpec((5,), np.bool_), 5),
        (specs.TensorSpec((3,), np.float64), 3),
    ],
    ids=str,
)
def test_observations_of_any_rank_and_dtype_become_vectors(spec, count):
    network = EncodingNetwork(spec, fc_layer_params=(4,))
    values = RNG.integers(0, 2, (5, *spec.shape)).astype(spec.dtype)
    weights = network.get_weights().params
    expected = dense(values.reshape(5, count).astype(np.float32), weights["layer_0"])
    np.testing.assert_allclose(network(values)[0], expected, rtol=1e-5, atol=1e-6)
    assert network.num_features == 4


def test_without_layers_the_observation_is_flattened():
    network = EncodingNetwork(specs.TensorSpec((2, 3), np.float32))
    values = RNG.normal(size=(5, 2, 3)).astype(np.float32)
    np.testing.assert_array_equal(network(values)[0], values.reshape(5, 6))
    assert network.variables == []
    assert network.num_features == 6


def test_images_are_scaled_convolved_and_flattened():
    network = EncodingNetwork(IMAGE, conv_layer_params=[(3, 3, 2), (4, 2, 1, 2)], fc_layer_params=(5,))
    w = network.get_weights().params
    images = RNG.integers(0, 256, (2, 8, 7, 2), dtype=np.uint8)
    rows = []
    for image in images:
        x = convolve(image / np.float32(255), w["conv_0"], stride=2)  # [3, 3, 3]
        x = convolve(x, w["conv_1"], stride=1, dilation=2)  # [1, 1, 4]
        rows.append(dense(x.reshape(-1), w["layer_0"]))
    np.testing.assert_allclose(network(images)[0], rows, rtol=1e-4, atol=1e-5)
    assert network.variable_names[:4] == ["conv_0/kernel", "conv_0/bias", "conv_1/kernel", "conv_1/bias"]


def test_one_dimensional_convolution():
    network = EncodingNetwork(specs.TensorSpec((6, 2), np.float32), conv_layer_params=[(3, 2, 1)], conv_type="1d")
    w = network.get_weights().params["conv_0"]
    signal = RNG.normal(size=(1, 6, 2)).astype(np.float32)
    expected = np.maximum([np.einsum("kc,kcf->f", signal[0, i : i + 2], w["kernel"]) for i in range(5)], 0)
    np.testing.assert_allclose(network(signal)[0][0], expected.reshape(-1), rtol=1e-4, atol=1e-5)


def test_time_and_batch_give_what_rows_give():
    network = EncodingNetwork(IMAGE, conv_layer_params=[(3, 3, 2)], fc_layer_params=(5,))
    images = RNG.integers(0, 256, (2, 3, 8, 7, 2), dtype=np.uint8)
    by_row = network(images.reshape(6, 8, 7, 2))[0]
    np.testing.assert_allclose(network(images)[0], by_row.reshape(2, 3, 5), rtol=1e-5, atol=1e-6)
    alone = EncodingNetwork(VECTOR, batch_squash=False, fc_layer_params=(2,))
    assert alone(np.ones((2, 3), np.float32))[0].shape == (2, 2)
    with pytest.raises(SpecError, match="batch_squash=False"):
        alone(np.ones((2, 4, 3), np.float32))


def test_nested_observations_through_concatenate():
    spec = {"a": VECTOR, "b": (specs.TensorSpec((), np.int32), specs.BoundedTensorSpec((2, 2), np.uint8, 0, 255))}
    network = EncodingNetwork(spec, preprocessing_combiner=concatenate)
    a = RNG.normal(size=(2, 3)).astype(np.float32)
    number = np.array([4, 5], np.int32)
    image = np.full((2, 2, 2), 51, np.uint8)
    expected = np.concatenate([a, number[:, None], np.full((2, 4), 0.2)], axis=1)  # 51 / 255 = 0.2
    np.testing.assert_allclose(network({"a": a, "b": (number, image)})[0], expected, rtol=1e-6)


def test_preprocessing_layers_see_their_part():
    spec = {"a": VECTOR, "b": {"c": specs.TensorSpec((2,), np.float32), "d": specs.TensorSpec((), np.int32)}}
    layers = {
        "a": lambda rngs: nnx.Linear(3, 2, rngs=rngs),
        "b": lambda part: part["c"] * part["d"][:, None],
    }
    network = EncodingNetwork(spec, layers, lambda parts: parts[0] + parts[1], fc_layer_params=(4,))
    w = network.get_weights().params
    a, c, d = np.ones((1, 3), np.float32), np.array([[1, 2]], np.float32), np.array([3], np.int32)
    combined = a @ w["preprocessing_0"]["module"]["kernel"] + c * d[:, None]  # the fresh bias is zero
    np.testing.assert_allclose(network({"a": a, "b": {"c": c, "d": d}})[0], dense(combined, w["layer_0"]), rtol=1e-5)
    fresh = network.copy().get_weights().params["preprocessing_0"]["module"]["kernel"]
    assert not np.allclose(fresh, w["preprocessing_0"]["module"]["kernel"])


def test_a_single_layer_takes_the_whole_observation():
    spec = (VECTOR, specs.TensorSpec((3,), np.float32))
    network = EncodingNetwork(spec, preprocessing_layers=lambda pair: pair[0] - pair[1])
    np.testing.assert_array_equal(
        network((np.full((1, 3), 3, np.float32), np.ones((1, 3), np.float32)))[0], [[2, 2, 2]]
    )


def test_dropout_is_for_training_unless_permanent():
    x = np.ones((4, 3), np.float32)
    network = EncodingNetwork(
        VECTOR, fc_layer_params=(50, 50), dropout_layer_params=(0.5, None), activation_fn=jnp.tanh
    )
    assert "layer_0/dropout/rngs/count" in network.variable_names
    weights = network.get_weights()
    plain = network.apply(weights, x)[0]
    np.testing.assert_array_equal(plain, network.apply(weights, x)[0])
    assert not np.allclose(plain, network.apply(weights, x, training=True)[0])

    last = EncodingNetwork(
        VECTOR,
        fc_layer_params=(400,),
        dropout_layer_params=({"rate": 0.25, "permanent": True},),
        activation_fn=lambda x: 0 * x + 3,
    )
    values = np.asarray(last(x)[0])
    np.testing.assert_allclose(np.unique(values), [0, 4], rtol=1e-6)  # 3 / (1 - 0.25) = 4
    np.testing.assert_allclose(np.mean(values == 0), 0.25, atol=0.05)  # sd sqrt(.25 * .75 / 1600) = 0.011


def test_dtype_is_that_of_the_computation():
    network = EncodingNetwork(VECTOR, fc_layer_params=(4,), dtype=jnp.bfloat16)
    assert network(np.ones((1, 3), np.float32))[0].dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(network.get_weights())} == {np.dtype(np.float32)}


def test_kernel_initializer_is_used():
    network = EncodingNetwork(
        IMAGE, conv_layer_params=[(1, 2, 1)], fc_layer_params=(2,), kernel_initializer=nnx.initializers.ones
    )
    w = network.get_weights().params
    np.testing.assert_array_equal(w["conv_0"]["kernel"], np.ones((2, 2, 2, 1)))
    np.testing.assert_array_equal(w["layer_0"]["kernel"], np.ones((42, 2)))
    np.testing.assert_array_equal(w["layer_0"]["bias"], np.zeros(2))


PAIR = {"a": VECTOR, "b": VECTOR}


@pytest.mark.parametrize(
    ("spec", "options", "text"),
    [
        (PAIR, {}, r"2 parts(.|\n)*networks\.concatenate"),
        (PAIR, {"preprocessing_layers": {"a": abs, "b": abs}}, r"networks\.concatenate"),
        (PAIR, {"preprocessing_layers": {"a": abs}}, r"do not match(.|\n)*\['a', 'b'\](.|\n)*\['a'\]"),
        (PAIR, {"preprocessing_layers": [abs, abs]}, "do not match"),
        ((VECTOR,), {"preprocessing_layers": (abs, abs)}, "do not match"),
        (VECTOR, {"preprocessing_layers": {"a": abs}}, "one array"),
        (VECTOR, {"preprocessing_layers": nnx.Linear(3, 3, rngs=nnx.Rngs(0))}, "cannot be a layer"),
        (VECTOR, {"fc_layer_params": (3, 3), "dropout_layer_params": (0.1,)}, "dropout_layer_params"),
        (VECTOR, {"fc_layer_params": (3,), "weight_decay_params": (0.1, 0.1)}, "weight_decay_params"),
        (VECTOR, {"fc_layer_params": (3,), "dropout_layer_params": (1.5,)}, "bad dropout"),
        (VECTOR, {"fc_layer_params": (3,), "dropout_layer_params": ({"permanent": True},)}, "bad dropout"),
        (VECTOR, {"fc_layer_params": (3,), "dropout_layer_params": ({"rate": 0.1, "forever": True},)}, "bad dropout"),
        (IMAGE, {"conv_layer_params": [(3, 3)]}, "three or four numbers"),
        (IMAGE, {"conv_layer_params": [(3, 3, 1, 1, 1)]}, "three or four numbers"),
        (IMAGE, {"conv_layer_params": [(3, 3, 1)], "conv_type": "3d"}, "unknown conv_type"),
        (IMAGE, {"conv_layer_params": [(3, 3, 1)], "conv_type": "1d"}, "rank 2"),
        (VECTOR, {"conv_layer_params": [(3, 3, 1)]}, "height, width and channels"),
        (IMAGE, {"conv_layer_params": [(3, 9, 1)]}, "nothing is left"),
    ],
)
def test_bad_arguments_are_refused(spec, options, text):
    with pytest.raises(ConfigError, match=text):
        EncodingNetwork(spec, **options)


def test_a_layer_must_be_callable():
    with pytest.raises(TypeError, match="a layer must be callable"):
        EncodingNetwork(VECTOR, preprocessing_combiner=3)
