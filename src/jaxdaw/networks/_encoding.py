"""EncodingNetwork: from observations of any kind to a vector of features."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdaw import specs
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.networks._constructor_arguments import as_rngs
from jaxdaw.networks._layers import Activation, Dense, DropoutParam, Initializer, as_network, he_truncated_normal
from jaxdaw.networks._network import Network
from jaxdaw.networks._noisy import NoisyDense


def concatenate(parts: Sequence[jax.Array]) -> jax.Array:
    """Returns all parts as one float32 vector for each row: a combiner for nested observations.

    Args:
      parts: arrays `[B, ...]` of any dtype and inner shape.

    >>> concatenate([jnp.ones((2, 3)), jnp.zeros((2, 2, 2), jnp.int32), jnp.ones(2)]).shape
    (2, 8)
    """
    return jnp.concatenate([_flatten_inner(jnp.asarray(part, jnp.float32)) for part in parts], axis=-1)


def signed_log(x: jax.Array) -> jax.Array:
    """Returns `sign(x) log(1 + |x|)`: a layer that is nearly the identity for small numbers and compresses heavy tails.

    Args:
      x: any shape.

    >>> signed_log(jnp.array([-1.0, 0.0, 1e6]))
    Array([-0.6931472,  0.       , 13.815511 ], dtype=float32)
    """
    x = jnp.asarray(x, jnp.float32)
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


class EncodingNetwork(Network):
    """Observation to features `[B, n]` or `[B, T, n]`: preprocess, combine, convolve, flatten, then dense layers.

    Before the combiner every part becomes `dtype`: a uint8 array of rank 2 or more is an image and is divided by
    255; other integers and booleans are cast.

    Args:
      input_tensor_spec: a nest of specs.
      preprocessing_layers: a nest of layers that matches the observation from the top; each is given its part of the
        observation `[B, ...]` as it is recorded. A layer is a plain function, a Network, or a factory
        `lambda rngs: nnx.Linear(4, 8, rngs=rngs)`.
      preprocessing_combiner: a layer from the flat list of parts to one array `[B, ...]`, e.g. `networks.concatenate`.
        Needed if there are several parts.
      conv_layer_params: `(filters, kernel, stride)` or `(filters, kernel, stride, dilation)` for each convolution,
        without padding; before it stands `[B, height, width, channels]`, or `[B, length, channels]` for "1d".
      fc_layer_params: the units of each dense layer.
      dropout_layer_params: for each dense layer a rate, None, or `{"rate": rate, "permanent": True}`.
      activation_fn: after each convolution and dense layer.
      weight_decay_params: for each dense layer the weight of `sum(kernel**2)` in `regularization_loss`, or None.
      kernel_initializer: default: He truncated normal, variance 2 / fan_in. Biases are zero.
      batch_squash: fold `[B, T]` into one axis for the layers; False admits `[B]` only.
      dtype: of the computation; weights are float32.
      conv_type: "2d" or "1d".
      name: defaults to the class name.
      noisy: whether the dense layers are `NoisyDense`, which has its own initial weights and takes neither dropout nor
        weight decay. A dense layer that reads the observation itself stays as it is: it takes the place of
        convolutions, which are not noisy either.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      ConfigError: several parts without a combiner, layers that do not match the observation, a tuple or list of the
        wrong length, an unknown `conv_type`, convolutions larger than the image, or dropout or weight decay of noisy
        layers.
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        preprocessing_layers: Any = None,
        preprocessing_combiner: Callable[..., Any] | None = None,
        conv_layer_params: Sequence[Sequence[Any]] | None = None,
        fc_layer_params: Sequence[int] | None = None,
        dropout_layer_params: Sequence[DropoutParam] | None = None,
        activation_fn: Activation = jax.nn.relu,
        weight_decay_params: Sequence[float | None] | None = None,
        kernel_initializer: Initializer | None = None,
        batch_squash: bool = True,
        dtype: Any = jnp.float32,
        conv_type: str = "2d",
        name: str | None = None,
        *,
        noisy: bool = False,
        rngs: nnx.Rngs | int = 0,
    ):
        super().__init__(input_tensor_spec, (), name)
        rngs = as_rngs(rngs)
        if noisy and (dropout_layer_params or weight_decay_params):
            raise ConfigError(
                "noisy layers take neither dropout nor weight decay",
                expected="dropout_layer_params=None, weight_decay_params=None",
                got=f"{dropout_layer_params}, {weight_decay_params}",
            )
        kernel_init = he_truncated_normal if kernel_initializer is None else kernel_initializer
        self._batch_squash = batch_squash
        self._dtype = jnp.dtype(dtype)
        self._activation_fn = activation_fn

        located = [] if preprocessing_layers is None else _match(preprocessing_layers, input_tensor_spec)
        self._paths = tuple(path for path, _ in located)
        self.preprocessing = nnx.List([as_network(layer, rngs) for _, layer in located])
        num_parts = len(located) or len(specs.flatten(input_tensor_spec))
        if preprocessing_combiner is None and num_parts != 1:
            raise ConfigError(
                f"{self.name} needs one array, and this observation has {num_parts} parts",
                expected="a preprocessing_combiner",
                got="None",
                fix="preprocessing_combiner=networks.concatenate",
            )
        self.combiner = None if preprocessing_combiner is None else as_network(preprocessing_combiner, rngs)

        example = specs.to_shape_dtype_struct(input_tensor_spec, (1,))
        shape = jax.eval_shape(lambda observation: self._combine(observation, False), example).shape[1:]
        self.conv = nnx.List([])
        for params in conv_layer_params or ():
            conv = _convolution(params, conv_type, shape, kernel_init, self._dtype, rngs)
            shape = jax.eval_shape(conv, jax.ShapeDtypeStruct((1, *shape), self._dtype)).shape[1:]
            if 0 in shape:
                raise ConfigError(
                    f"nothing is left of the image after the convolution {tuple(params)}", got=f"shape {shape}"
                )
            self.conv.append(conv)

        size = math.prod(shape)
        units = tuple(fc_layer_params or ())
        dropouts = _one_each(dropout_layer_params, units, "dropout_layer_params")
        decays = _one_each(weight_decay_params, units, "weight_decay_params")
        self.layer = nnx.List([])
        for width, dropout, l2 in zip(units, dropouts, decays, strict=True):
            self.layer.append(
                NoisyDense(size, int(width), activation_fn, dtype=self._dtype, rngs=rngs)
                if noisy and (len(self.layer) > 0 or len(self.conv) > 0)
                else Dense(
                    size,
                    int(width),
                    activation_fn,
                    kernel_init=kernel_init,
                    dropout=dropout,
                    l2=l2,
                    dtype=self._dtype,
                    rngs=rngs,
                )
            )
            size = int(width)
        self._num_features = size

    @property
    def num_features(self) -> int:
        """The size of the output's last axis."""
        return self._num_features

    def call(self, observation: Any, training: bool = False) -> tuple[jax.Array, Any]:
        """Returns the features and `()`."""
        outer = specs.outer_shape(observation, self.input_tensor_spec)
        if len(outer) > 1 and not self._batch_squash:
            raise SpecError(f"{self.name} has batch_squash=False", expected="[B, ...]", got=f"outer axes {outer}")
        count = math.prod(outer)
        rows = specs.map_structure(lambda x: jnp.reshape(x, (count, *np.shape(x)[len(outer) :])), observation)
        x = self._combine(rows, training)
        for conv in self.conv:
            x = self._activation_fn(conv(x))
        x = _flatten_inner(x)
        for layer in self.layer:
            x = layer.transform(x, training)
        return x.reshape(*outer, x.shape[-1]), ()

    def _combine(self, observation: Any, training: bool) -> jax.Array:
        if self._paths:
            parts = [
                layer(_at(observation, path), training=training)[0]
                for path, layer in zip(self._paths, self.preprocessing, strict=True)
            ]
        else:
            parts = specs.flatten(observation)
        parts = [self._as_float(part) for part in parts]
        return parts[0] if self.combiner is None else self._as_float(self.combiner(parts, training=training)[0])

    def _as_float(self, x: Any) -> jax.Array:
        x = jnp.asarray(x)
        scaled = x.dtype == jnp.uint8 and x.ndim > 2  # axis 0 is the batch
        return x.astype(self._dtype) / 255 if scaled else x.astype(self._dtype)


def _flatten_inner(x: jax.Array) -> jax.Array:
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


def _convolution(
    params: Sequence[Any], conv_type: str, shape: tuple[int, ...], kernel_init: Initializer, dtype: Any, rngs: nnx.Rngs
) -> nnx.Conv:
    if conv_type not in ("1d", "2d"):
        raise ConfigError("unknown conv_type", expected="'1d' or '2d'", got=repr(conv_type))
    if len(params) not in (3, 4):
        raise ConfigError(
            "a convolution has three or four numbers",
            expected="(filters, kernel, stride) or (filters, kernel, stride, dilation)",
            got=repr(tuple(params))[:60],
        )
    axes = int(conv_type[0])
    if len(shape) != axes + 1:
        raise ConfigError(
            f"a {conv_type} convolution needs {'height, width' if axes == 2 else 'length'} and channels",
            expected=f"rank {axes + 1}",
            got=f"shape {shape}",
            fix="preprocessing_layers=lambda x: x[..., None]" if len(shape) == axes else None,
        )
    filters, kernel, stride, dilation = (*params, 1)[:4]
    kernel, stride, dilation = (
        (int(p),) * axes if isinstance(p, int | np.integer) else tuple(p) for p in (kernel, stride, dilation)
    )
    return nnx.Conv(
        shape[-1],
        int(filters),
        kernel,
        strides=stride,
        kernel_dilation=dilation,
        padding="VALID",
        kernel_init=kernel_init,
        dtype=dtype,
        rngs=rngs,
    )


def _one_each(values: Sequence[Any] | None, units: Sequence[int], name: str) -> Sequence[Any]:
    if values is None:
        return (None,) * len(units)
    if len(values) != len(units):
        raise ConfigError(
            f"{name} needs one entry for each dense layer", expected=str(len(units)), got=str(len(values))
        )
    return values


def _match(layers: Any, nest: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """Returns each layer with the path to its part of the nest."""
    if isinstance(layers, Mapping):
        keys = sorted(layers)
        fits = isinstance(nest, Mapping) and keys == sorted(nest)
    elif isinstance(layers, list | tuple):
        keys = range(len(layers))
        fits = isinstance(nest, list | tuple) and len(nest) == len(layers)
    else:
        return [(path, layers)]
    if not fits:
        raise ConfigError(
            "preprocessing_layers do not match the observation" + (f" at {path}" if path else ""),
            expected=_outline(nest),
            got=_outline(layers),
            fix="one layer for each part; `lambda x: x` leaves a part as it is",
        )
    return [entry for key in keys for entry in _match(layers[key], nest[key], (*path, key))]


def _outline(nest: Any) -> str:
    if isinstance(nest, Mapping):
        return f"keys {sorted(nest)}"
    return f"{len(nest)} entries" if isinstance(nest, list | tuple) else "one array"


def _at(nest: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        nest = nest[key]
    return nest
