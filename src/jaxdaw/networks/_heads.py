"""ActorNetwork, ValueNetwork and ValueRnnNetwork: from observations to actions and to state values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdaw import specs
from jaxdaw.errors import SpecError
from jaxdaw.networks._constructor_arguments import as_rngs
from jaxdaw.networks._encoding import EncodingNetwork
from jaxdaw.networks._layers import (
    Activation,
    Dense,
    DropoutParam,
    Initializer,
    fan_in_uniform,
    glorot_uniform,
    symmetric_uniform,
)
from jaxdaw.networks._network import Network
from jaxdaw.networks._recurrent import CellType, RecurrentEncodingNetwork


class ActorNetwork(Network):
    """Observation to one float action within its bounds: `(max + min) / 2 + (max - min) / 2 * tanh(x)`.

    Args:
      input_tensor_spec: a nest of specs.
      output_tensor_spec: a nest of exactly one bounded float spec, of any shape.
      fc_layer_params, dropout_layer_params, conv_layer_params, activation_fn, preprocessing_layers,
        preprocessing_combiner: as for `EncodingNetwork`.
      kernel_initializer: of all layers but the last; default uniform within sqrt(1 / fan_in).
      last_kernel_initializer: of the last layer; default uniform in `[-0.003, 0.003]`: actions start in the middle.
      name: defaults to the class name.
      rngs: streams of random numbers for the weights, or a seed.

    Source: Lillicrap et al. 2016, section 7.

    Raises:
      SpecError: several actions, integers, or bounds that are missing or infinite.
      ConfigError: as `EncodingNetwork`.
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        output_tensor_spec: Any,
        fc_layer_params: Sequence[int] | None = None,
        dropout_layer_params: Sequence[DropoutParam] | None = None,
        conv_layer_params: Sequence[Sequence[Any]] | None = None,
        activation_fn: Activation = jax.nn.relu,
        kernel_initializer: Initializer | None = None,
        last_kernel_initializer: Initializer | None = None,
        preprocessing_layers: Any = None,
        preprocessing_combiner: Callable[..., Any] | None = None,
        name: str | None = None,
        *,
        rngs: nnx.Rngs | int = 0,
    ):
        super().__init__(input_tensor_spec, (), name)
        rngs = as_rngs(rngs)
        spec = _bounded_float(output_tensor_spec, self.name)
        self._output_tensor_spec = output_tensor_spec
        self.encoder = EncodingNetwork(
            input_tensor_spec,
            preprocessing_layers,
            preprocessing_combiner,
            conv_layer_params,
            fc_layer_params,
            dropout_layer_params,
            activation_fn,
            kernel_initializer=fan_in_uniform if kernel_initializer is None else kernel_initializer,
            rngs=rngs,
        )
        self.action = Dense(
            self.encoder.num_features,
            math.prod(spec.shape),
            jnp.tanh,
            kernel_init=symmetric_uniform(0.003) if last_kernel_initializer is None else last_kernel_initializer,
            rngs=rngs,
        )

    def call(self, observation: Any, training: bool = False) -> tuple[Any, Any]:
        """Returns the action, in the nest of `output_tensor_spec`, and `()`."""
        features, _ = self.encoder(observation, training=training)
        (spec,) = specs.flatten(self._output_tensor_spec)
        unit = self.action.transform(features).reshape(*features.shape[:-1], *spec.shape)
        middle, half = (spec.maximum + spec.minimum) / 2, (spec.maximum - spec.minimum) / 2
        return specs.pack_like(self._output_tensor_spec, [(middle + half * unit).astype(spec.dtype)]), ()


def _bounded_float(action_spec: Any, owner: str) -> specs.BoundedTensorSpec:
    leaves = specs.flatten(action_spec)
    spec = leaves[0] if len(leaves) == 1 else None
    if (
        not isinstance(spec, specs.BoundedTensorSpec)
        or not specs.is_continuous(spec)
        or not np.all(np.isfinite([np.min(spec.minimum), np.max(spec.maximum)]))
    ):
        raise SpecError(
            f"{owner} gives one float action within finite bounds",
            expected="BoundedTensorSpec(shape, float32, minimum, maximum)",
            got=f"{len(leaves)} actions" if spec is None else str(spec),
        )
    return spec


class ValueNetwork(Network):
    """Observation to the value of the state, `[B]` or `[B, T]`: an EncodingNetwork and a dense layer.

    Args:
      input_tensor_spec: a nest of specs.
      preprocessing_layers, preprocessing_combiner, conv_layer_params, fc_layer_params, dropout_layer_params,
        activation_fn, batch_squash, dtype: as for `EncodingNetwork`.
      kernel_initializer: of all layers but the last; default Glorot uniform.
      last_kernel_initializer: of the last layer; default uniform in `[-0.03, 0.03]`.
      name: defaults to the class name.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      ConfigError: as `EncodingNetwork`.
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        preprocessing_layers: Any = None,
        preprocessing_combiner: Callable[..., Any] | None = None,
        conv_layer_params: Sequence[Sequence[Any]] | None = None,
        fc_layer_params: Sequence[int] | None = (75, 40),
        dropout_layer_params: Sequence[DropoutParam] | None = None,
        activation_fn: Activation = jax.nn.relu,
        kernel_initializer: Initializer | None = None,
        batch_squash: bool = True,
        dtype: Any = jnp.float32,
        name: str | None = None,
        *,
        last_kernel_initializer: Initializer | None = None,
        rngs: nnx.Rngs | int = 0,
    ):
        super().__init__(input_tensor_spec, (), name)
        rngs = as_rngs(rngs)
        self.encoder = EncodingNetwork(
            input_tensor_spec,
            preprocessing_layers,
            preprocessing_combiner,
            conv_layer_params,
            fc_layer_params,
            dropout_layer_params,
            activation_fn,
            kernel_initializer=glorot_uniform if kernel_initializer is None else kernel_initializer,
            batch_squash=batch_squash,
            dtype=dtype,
            rngs=rngs,
        )
        self.value = _value_layer(self.encoder.num_features, last_kernel_initializer, rngs)

    def call(self, observation: Any, training: bool = False) -> tuple[jax.Array, Any]:
        """Returns the values and `()`."""
        features, _ = self.encoder(observation, training=training)
        return jnp.squeeze(self.value(features), axis=-1), ()


class ValueRnnNetwork(Network):
    """Observation to the value of the state with memory: a RecurrentEncodingNetwork and the head of `ValueNetwork`.

    A sequence `[B, T]` needs `step_type` `[B, T]`: the state is zeros before every FIRST frame.

    Args:
      input_tensor_spec: a nest of specs.
      preprocessing_layers, preprocessing_combiner, conv_layer_params, input_fc_layer_params, lstm_size,
        output_fc_layer_params, activation_fn, kernel_initializer, dtype, cell_type, rnn_construction_fn: as for
        `RecurrentEncodingNetwork`.
      last_kernel_initializer: of the last layer; default uniform in `[-0.03, 0.03]`.
      name: defaults to the class name.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      ConfigError: as `RecurrentEncodingNetwork`.

    >>> network = ValueRnnNetwork(specs.TensorSpec((3,), "float32"), lstm_size=(8,))
    >>> network(jnp.ones((5, 2, 3)), jnp.ones((5, 2), int))[0].shape
    (5, 2)
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        preprocessing_layers: Any = None,
        preprocessing_combiner: Callable[..., Any] | None = None,
        conv_layer_params: Sequence[Sequence[Any]] | None = None,
        input_fc_layer_params: Sequence[int] | None = (75, 40),
        lstm_size: Sequence[int] | int | None = (40,),
        output_fc_layer_params: Sequence[int] | None = (75, 40),
        activation_fn: Activation = jax.nn.relu,
        kernel_initializer: Initializer | None = None,
        dtype: Any = jnp.float32,
        cell_type: CellType = "lstm",
        rnn_construction_fn: Callable[[specs.TensorSpec, nnx.Rngs], Network] | None = None,
        name: str | None = None,
        *,
        last_kernel_initializer: Initializer | None = None,
        rngs: nnx.Rngs | int = 0,
    ):
        rngs = as_rngs(rngs)
        encoder = RecurrentEncodingNetwork(
            input_tensor_spec,
            preprocessing_layers,
            preprocessing_combiner,
            conv_layer_params,
            input_fc_layer_params,
            lstm_size,
            output_fc_layer_params,
            activation_fn,
            kernel_initializer,
            dtype,
            cell_type,
            rnn_construction_fn,
            rngs=rngs,
        )
        super().__init__(input_tensor_spec, encoder.state_spec, name)
        self.encoder = encoder
        self.value = _value_layer(encoder.num_features, last_kernel_initializer, rngs)

    def call(
        self, observation: Any, step_type: Any, network_state: Any, training: bool = False
    ) -> tuple[jax.Array, Any]:
        """Returns the values and the next state."""
        features, next_state = self.encoder(observation, step_type, network_state, training)
        return jnp.squeeze(self.value(features), axis=-1), next_state


def _value_layer(num_features: int, kernel_init: Initializer | None, rngs: nnx.Rngs) -> Dense:
    init = symmetric_uniform(0.03) if kernel_init is None else kernel_init
    return Dense(num_features, 1, kernel_init=init, rngs=rngs)
