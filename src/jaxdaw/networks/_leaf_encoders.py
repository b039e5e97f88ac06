"""Encoders of one part of an observation, by its kind: categories and images; and which part needs which."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdaw import specs
from jaxdaw.errors import SpecError
from jaxdaw.networks._constructor_arguments import as_rngs
from jaxdaw.networks._encoding import EncodingNetwork, concatenate
from jaxdaw.networks._layers import Activation
from jaxdaw.networks._network import Network

_MOST_ONE_HOT = 64
"""Values of a category up to which each has a number of its own."""
_MOST_EMBEDDED = 2**16
"""Values above which an integer is a quantity."""
_MOST_CHANNELS = 4
_ATARI = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
_SMALL_IMAGE = ((16, 3, 1), (32, 3, 1))


class _Categories(Network):
    """Base class of encoders of integers whose order means nothing."""

    def __init__(self, input_tensor_spec: specs.TensorSpec, name: str | None):
        super().__init__(input_tensor_spec, (), name)
        counts = specs.num_values(input_tensor_spec).reshape(-1)
        self._counts = tuple(int(count) for count in counts)
        if not self._counts or sum(self._counts) > 2**24:
            raise SpecError(
                f"{self.name} has no categories to encode, or too many",
                expected="1 to 2**24 values, over all elements",
                got=str(input_tensor_spec),
            )

    def _indices(self, observation: Any) -> jax.Array:
        """Returns each element counted from 0, `[..., k]`."""
        spec = self.input_tensor_spec
        minimum = np.broadcast_to(spec.minimum, spec.shape).astype(spec.dtype)
        x = jnp.asarray(observation) - minimum
        return x.reshape(*x.shape[: x.ndim - len(spec.shape)], len(self._counts))


class OneHot(_Categories):
    """Integers to a 1 among zeros for each element: of shape `()` to `[..., n]`, of more elements side by side.

    It has no variables. It is made to be one of an encoder's `preprocessing_layers`.

    Args:
      input_tensor_spec: a bounded integer spec.
      name: defaults to the class name.

    Raises:
      SpecError: no bounds, or no integers.

    >>> OneHot(specs.BoundedTensorSpec((), "int64", 1, 3))(jnp.array([1, 3]))[0]
    Array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """

    def __init__(self, input_tensor_spec: specs.TensorSpec, name: str | None = None):
        super().__init__(input_tensor_spec, name)

    def call(self, observation: Any) -> tuple[jax.Array, Any]:
        """Returns the numbers `[..., sum of the counts]`, float32, and `()`; zeros for a value out of range."""
        indices = self._indices(observation)
        parts = [jax.nn.one_hot(indices[..., place], count) for place, count in enumerate(self._counts)]
        return jnp.concatenate(parts, axis=-1), ()


class Embedding(_Categories):
    """Integers to learned vectors: of shape `()` to `[..., size]`, of more elements side by side.

    Args:
      input_tensor_spec: a bounded integer spec.
      size: numbers for each element.
      name: defaults to the class name.
      rngs: streams of random numbers for the vectors, or a seed.

    Raises:
      SpecError: no bounds, or no integers.
    """

    def __init__(
        self,
        input_tensor_spec: specs.TensorSpec,
        size: int = 32,
        name: str | None = None,
        *,
        rngs: nnx.Rngs | int = 0,
    ):
        super().__init__(input_tensor_spec, name)
        shape = (sum(self._counts), int(size))
        self.table = nnx.Param(jax.random.normal(as_rngs(rngs).params(), shape) / math.sqrt(size))

    def call(self, observation: Any) -> tuple[jax.Array, Any]:
        """Returns the vectors `[..., elements * size]` and `()`; NaN for a value out of range."""
        indices, counts = self._indices(observation), np.asarray(self._counts)
        rows = jnp.where((indices >= 0) & (indices < counts), indices + np.cumsum(counts) - counts, -1)
        vectors = self.table[...].at[rows].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
        return vectors.reshape(*vectors.shape[:-2], -1), ()


class ImageEncoder(Network):
    """An image to a vector: convolutions without padding, then flattened.

    Args:
      input_tensor_spec: `[height, width, channels]`, `[height, width]`, or with `channels_first`
        `[channels, height, width]`. uint8 is divided by 255.
      conv_layer_params: `(filters, kernel, stride)` of each convolution; None takes what fits the size, see
        `convolutions_for`.
      channels_first: whether the first axis counts channels.
      activation_fn: after each convolution.
      name: defaults to the class name.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      SpecError: another rank.
      ConfigError: convolutions larger than the image.
    """

    def __init__(
        self,
        input_tensor_spec: specs.TensorSpec,
        conv_layer_params: Sequence[Sequence[Any]] | None = None,
        channels_first: bool = False,
        activation_fn: Activation = jax.nn.relu,
        name: str | None = None,
        *,
        rngs: nnx.Rngs | int = 0,
    ):
        super().__init__(input_tensor_spec, (), name)
        shape = input_tensor_spec.shape
        if len(shape) not in (2, 3) or (channels_first and len(shape) == 2):
            raise SpecError(
                f"{self.name} encodes one image",
                expected="(height, width, channels), (height, width), or (channels, height, width)",
                got=str(shape),
            )
        self._channels_first = channels_first
        turned = (*shape[1:], shape[0]) if channels_first else (*shape, 1)[:3]
        last = specs.TensorSpec(turned, input_tensor_spec.dtype)
        if conv_layer_params is None:
            conv_layer_params = convolutions_for(turned)
        self.encoder = EncodingNetwork(last, None, None, conv_layer_params, activation_fn=activation_fn, rngs=rngs)

    def call(self, observation: Any, training: bool = False) -> tuple[jax.Array, Any]:
        """Returns the vector `[..., n]` and `()`."""
        x = jnp.asarray(observation)
        if self._channels_first:
            x = jnp.moveaxis(x, -3, -1)
        elif len(self.input_tensor_spec.shape) == 2:
            x = x[..., None]
        return self.encoder(x, training=training)


def convolutions_for(shape: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    """Returns the convolutions that fit an image `[height, width, channels]`.

    Those of Mnih et al. 2015 from 36 pixels on; two of 3 x 3 below, where there are at least 5; none otherwise.

    >>> convolutions_for((7, 7, 3))
    ((16, 3, 1), (32, 3, 1))
    """
    side = min(shape[:2])
    return _ATARI if side >= 36 else _SMALL_IMAGE if side >= 5 else ()


def encoder_options(observation_spec: Any, conv_layer_params: Sequence[Sequence[Any]] = (), others: Any = None) -> Any:
    """Returns the arguments of networks that encode each part of an observation by its kind, and join the parts.

    * An integer scalar, or an int64 vector (Gymnasium's Discrete and MultiDiscrete), is a category: `OneHot` up to 64
      values, `Embedding` up to 65,536; an integer of more values is a quantity, as floats are.
    * An array of rank 3, or of rank 2 with uint8, is an image: see `ImageEncoder`. Channels come last, unless the first
      axis is at most 4 and the last one is longer than that.
    * Everything else enters as it is.

    Args:
      observation_spec: a nest of specs.
      conv_layer_params: of all images; empty for what fits the size of each.
      others: a nest of layers of which those of parts that enter as they are stand before them; None for none.

    Returns:
      `preprocessing_layers`, `preprocessing_combiner` and `conv_layer_params`, see `EncodingNetwork`. Layers hold
      weights: each network needs options of its own.

    >>> encoder_options(specs.BoundedTensorSpec((), "int64", 0, 15))["preprocessing_layers"].name
    'OneHot'
    """
    leaves, given = specs.flatten(observation_spec), [tuple(layer) for layer in conv_layer_params]
    before: list[Any] = [None] * len(leaves) if others is None else specs.flatten(others)
    convolutions = given or None  # without an image they are refused, by the network
    if len(leaves) == 1 and _is_image(leaves[0]) and len(leaves[0].shape) == 3 and not _has_channels_first(leaves[0]):
        layers, convolutions = before, given or list(convolutions_for(leaves[0].shape)) or None
    else:
        layers = [_encoder_of(spec, given) or layer for spec, layer in zip(leaves, before, strict=True)]
        if any(map(_is_image, leaves)):
            convolutions = None
    is_plain = all(layer is None for layer in layers)
    filled = [jax.nn.identity if layer is None else layer for layer in layers]
    return {
        "preprocessing_layers": None if is_plain else specs.pack_like(observation_spec, filled),
        "preprocessing_combiner": concatenate if len(leaves) > 1 else None,
        "conv_layer_params": convolutions,
    }


def _encoder_of(spec: specs.TensorSpec, convolutions: list[Any]) -> Network | None:
    """Returns a new encoder of one part; None where it enters as it is."""
    if _is_image(spec):
        return ImageEncoder(spec, convolutions or None, _has_channels_first(spec))
    is_category = spec.shape == () or (len(spec.shape) == 1 and spec.dtype == np.int64)
    if not (is_category and isinstance(spec, specs.BoundedTensorSpec) and specs.is_discrete(spec)):
        return None
    most = int(np.max(specs.num_values(spec), initial=0))
    if not 0 < most <= _MOST_EMBEDDED:
        return None
    return OneHot(spec) if most <= _MOST_ONE_HOT else Embedding(spec)


def _is_image(spec: specs.TensorSpec) -> bool:
    return len(spec.shape) == 3 or (len(spec.shape) == 2 and spec.dtype == np.uint8)


def _has_channels_first(spec: specs.TensorSpec) -> bool:
    return len(spec.shape) == 3 and spec.shape[0] <= _MOST_CHANNELS < spec.shape[2]
