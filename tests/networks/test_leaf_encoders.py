"""Encoders of categories and images, and which part of an observation is given which."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.networks import (
    CriticNetwork,
    Embedding,
    EncodingNetwork,
    ImageEncoder,
    OneHot,
    QNetwork,
    QRnnNetwork,
    encoder_options,
)

ACTION = specs.BoundedTensorSpec((), np.int32, 0, 2)


def discrete(n, start=0):
    return specs.from_gymnasium(gymnasium.spaces.Discrete(n, start=start))


def multi_discrete(*counts):
    return specs.from_gymnasium(gymnasium.spaces.MultiDiscrete(counts))


def test_categories_are_ones_among_zeros_whatever_they_count_from():
    np.testing.assert_array_equal(
        OneHot(discrete(3, start=-1))(np.array([-1, 1, 5]))[0], [[1, 0, 0], [0, 0, 1], [0] * 3]
    )
    both = OneHot(multi_discrete(2, 3))(np.array([[[1, 0], [0, 2]]]))[0]
    np.testing.assert_array_equal(both, [[[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]])


def test_embedded_categories_have_vectors_of_their_own():
    network = Embedding(multi_discrete(2, 3), size=4, rngs=3)
    table = np.asarray(network.get_weights().params["table"])
    assert table.shape == (5, 4)
    vectors = network(np.array([[1, 2], [2, 0]]))[0]
    np.testing.assert_array_equal(vectors[0], np.concatenate([table[1], table[4]]))
    assert np.isnan(vectors[1, :4]).all()  # 2 is no value of the first element, and not one of the second
    np.testing.assert_array_equal(vectors[1, 4:], table[2])
    gradient = jax.grad(lambda w: jnp.sum(network.apply(w, np.array([[0, 1]]))[0]))(network.get_weights()).params
    np.testing.assert_array_equal(np.asarray(gradient["table"]).any(axis=1), [True, False, False, True, False])


@pytest.mark.parametrize("wrong", [specs.TensorSpec((), np.int32), specs.TensorSpec((), np.float32)])
def test_what_has_no_categories_is_refused(wrong):
    with pytest.raises(SpecError):
        OneHot(wrong)


def test_the_order_of_axes_does_not_matter_to_an_image():
    last = specs.BoundedTensorSpec((8, 8, 3), np.uint8, 0, 255)
    first = specs.BoundedTensorSpec((3, 8, 8), np.uint8, 0, 255)
    image = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    one, other = ImageEncoder(last, rngs=1), ImageEncoder(first, channels_first=True, rngs=1)
    np.testing.assert_array_equal(one(image)[0], other(np.moveaxis(image, -1, 1))[0])
    plain = specs.BoundedTensorSpec((8, 8), np.uint8, 0, 255)
    gray = ImageEncoder(plain, rngs=1)(image[..., 0])[0]
    deep = ImageEncoder(specs.BoundedTensorSpec((8, 8, 1), np.uint8, 0, 255), rngs=1)(image[..., :1])[0]
    np.testing.assert_array_equal(gray, deep)
    with pytest.raises(SpecError, match="one image"):
        ImageEncoder(specs.TensorSpec((4,), np.float32))
    with pytest.raises(ConfigError, match="nothing is left"):
        ImageEncoder(last, conv_layer_params=((4, 9, 1),))


KINDS = {
    "vector": (specs.TensorSpec((3,), np.float32), None),
    "number": (specs.TensorSpec((), np.float32), None),
    "category": (discrete(16), "OneHot"),
    "large category": (discrete(500), "Embedding"),
    "quantity": (specs.BoundedTensorSpec((), np.int64, 0, 10**9), None),
    "categories": (multi_discrete(3, 40), "OneHot"),
    "bits": (specs.from_gymnasium(gymnasium.spaces.MultiBinary(6)), None),
    "memory": (specs.BoundedTensorSpec((128,), np.uint8, 0, 255), None),
    "gray image": (specs.BoundedTensorSpec((12, 12), np.uint8, 0, 255), "ImageEncoder"),
    "matrix": (specs.TensorSpec((5, 5), np.float32), None),
    "channels first": (specs.BoundedTensorSpec((4, 84, 84), np.uint8, 0, 255), "ImageEncoder"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_is_encoded_by_its_kind(kind):
    spec, expected = KINDS[kind]
    layers = encoder_options(spec)["preprocessing_layers"]
    assert (None if layers is None else layers.name) == expected
    features = EncodingNetwork(spec, fc_layer_params=(4,), **encoder_options(spec))(specs.zeros(spec, (2,)))[0]
    assert np.isfinite(features).all()


@pytest.mark.parametrize(
    ("shape", "convolutions"),
    [((84, 84, 4), 3), ((36, 40, 1), 3), ((10, 10, 4), 2), ((7, 7, 3), 2), ((5, 5, 3), 2), ((4, 9, 3), 0)],
)
def test_an_image_of_any_size_alone_or_with_others(shape, convolutions):
    image = specs.BoundedTensorSpec(shape, np.uint8, 0, 255)
    network = QNetwork(image, ACTION, **encoder_options(image))
    assert len(network.encoder.conv) == convolutions
    nest = {"image": image, "turned": discrete(4), "place": specs.TensorSpec((2,), np.float32)}
    for kind, options in ((QNetwork, {}), (QRnnNetwork, {"lstm_size": (4,)})):
        values = kind(nest, ACTION, **encoder_options(nest), **options)(specs.zeros(nest, (2,)))[0]
        assert values.shape == (2, 3)


def test_own_convolutions_hold_for_every_image_and_are_refused_without_one():
    image = specs.BoundedTensorSpec((9, 9, 3), np.uint8, 0, 255)
    assert encoder_options(image, [(8, 2, 1)])["conv_layer_params"] == [(8, 2, 1)]
    nest = (image, specs.TensorSpec((2,), np.float32))
    encoder = encoder_options(nest, [(8, 2, 1)])["preprocessing_layers"][0]
    assert encoder.encoder.conv[0].out_features == 8
    vector = specs.TensorSpec((2,), np.float32)
    with pytest.raises(ConfigError, match="2d convolution needs"):
        QNetwork(vector, ACTION, **encoder_options(vector, [(8, 2, 1)]))


def test_copies_have_weights_of_their_own():
    spec, steer = discrete(500), specs.BoundedTensorSpec((1,), np.float32, -1, 1)
    network = CriticNetwork((spec, steer), joint_fc_layer_params=(4,), preprocessing_layers=Embedding(spec))
    other = network.copy(rngs=5)
    assert not {id(v) for v in network.variables} & {id(v) for v in other.variables}
