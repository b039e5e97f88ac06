"""Networks with one value for each action: Q, duelling Q and recurrent Q."""

from __future__ import annotations

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
from jaxdaw.networks._layers import Activation, Dense, DropoutParam, Initializer, symmetric_uniform
from jaxdaw.networks._network import Network
from jaxdaw.networks._noisy import NoisyDense
from jaxdaw.networks._recurrent import CellType, RecurrentEncodingNetwork


def num_actions_of(action_spec: Any, owner: str) -> int:
    """Returns the number of values of the only action.

    Args:
      action_spec: a nest of exactly one bounded integer spec of shape `()` or `(1,)`; the minimum need not be 0.
      owner: who asks, for the message.

    Raises:
      SpecError: several actions, another shape, floats, or no bounds.
    """
    leaves = specs.flatten(action_spec)
    spec = leaves[0] if len(leaves) == 1 else None
    if spec is None or spec.shape not in ((), (1,)) or not specs.is_discrete(spec) or not specs.is_bounded(spec):
        raise SpecError(
            f"{owner} gives values to one integer action",
            expected="BoundedTensorSpec(() or (1,), int32, minimum, maximum)",
            got=f"{len(leaves)} actions" if spec is None else str(spec),
        )
    return int(np.max(specs.num_values(spec)))


def value_head(
    num_features: int,
    units: int,
    rngs: nnx.Rngs,
    activation: Activation | None = None,
    bias: float = -0.2,
    noisy: bool = False,
) -> Dense:
    """Returns a dense layer that starts with values near `bias`: kernel uniform in `[-0.03, 0.03]`, constant bias.

    A noisy layer starts as `NoisyDense` does.
    """
    if noisy:
        return NoisyDense(num_features, units, activation, rngs=rngs)
    return Dense(
        num_features,
        units,
        activation,
        kernel_init=symmetric_uniform(0.03),
        bias_init=jax.nn.initializers.constant(bias),
        rngs=rngs,
    )


class QNetwork(Network):
    """Observation to action values `[B, A]` or `[B, T, A]`: an EncodingNetwork and a dense head.

    Args:
      input_tensor_spec: a nest of specs.
      action_spec: one bounded integer action of shape `()` or `(1,)`; A = maximum - minimum + 1.
      preprocessing_layers, preprocessing_combiner, conv_layer_params, fc_layer_params, dropout_layer_params,
        activation_fn, kernel_initializer, batch_squash, dtype: as for `EncodingNetwork`.
      q_layer_activation_fn: applied to the values; None for none.
      name: defaults to the class name.
      noisy: whether dense layers have learned noise in their weights (Fortunato et al. 2018), but for one that reads
        the observation itself: agents draw it in training and collecting, and their greedy policies act by the means.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      SpecError: another kind of action.
      ConfigError: as `EncodingNetwork`.
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        action_spec: Any,
        preprocessing_layers: Any = None,
        preprocessing_combiner: Callable[..., Any] | None = None,
        conv_layer_params: Sequence[Sequence[Any]] | None = None,
        fc_layer_params: Sequence[int] | None = (75, 40),
        dropout_layer_params: Sequence[DropoutParam] | None = None,
        activation_fn: Activation = jax.nn.relu,
        kernel_initializer: Initializer | None = None,
        batch_squash: bool = True,
        dtype: Any = jnp.float32,
        q_layer_activation_fn: Activation | None = None,
        name: str | None = None,
        *,
        noisy: bool = False,
        rngs: nnx.Rngs | int = 0,
    ):
        super().__init__(input_tensor_spec, (), name)
        rngs = as_rngs(rngs)
        num_actions = num_actions_of(action_spec, self.name)
        self.encoder = EncodingNetwork(
            input_tensor_spec,
            preprocessing_layers,
            preprocessing_combiner,
            conv_layer_params,
            fc_layer_params,
            dropout_layer_params,
            activation_fn,
            kernel_initializer=kernel_initializer,
            batch_squash=batch_squash,
            dtype=dtype,
            noisy=noisy,
            rngs=rngs,
        )
        self.q = self._make_head(self.encoder.num_features, num_actions, q_layer_activation_fn, noisy, rngs)

    def call(self, observation: Any, training: bool = False) -> tuple[jax.Array, Any]:
        """Returns the values and `()`."""
        features, _ = self.encoder(observation, training=training)
        return self.q.transform(features), ()

    def _make_head(
        self, num_features: int, num_actions: int, activation: Activation | None, noisy: bool, rngs: nnx.Rngs
    ) -> Any:
        return value_head(num_features, num_actions, rngs, activation, noisy=noisy)


class DuelingQNetwork(QNetwork):
    """This is QNetwork with: values put together from a state value and advantages, `Q = V + A - mean_a A`.

    Source: Wang et al. 2016, eq. 9. Both heads start as that of `QNetwork`.
    """

    def _make_head(
        self, num_features: int, num_actions: int, activation: Activation | None, noisy: bool, rngs: nnx.Rngs
    ) -> Any:
        return DuelingHead(num_features, num_actions, rngs, activation, noisy=noisy)


class DuelingHead(nnx.Module):
    """Values put together from those of the state and the advantages: `V + A - mean_a A`.

    Args:
      num_features: the size of the input's last axis.
      num_actions: A.
      rngs: the streams to draw from.
      activation: applied to the values; None for none.
      num_values: K, values of each action (atoms, quantiles), each put together for itself.
      noisy: whether both layers are noisy.
    """

    def __init__(
        self,
        num_features: int,
        num_actions: int,
        rngs: nnx.Rngs,
        activation: Activation | None = None,
        num_values: int = 1,
        noisy: bool = False,
    ):
        self.advantage = value_head(num_features, num_actions * num_values, rngs, noisy=noisy)
        self.value = value_head(num_features, num_values, rngs, noisy=noisy)
        self.activation = activation

    def transform(self, features: jax.Array) -> jax.Array:
        """Returns the values `[..., A * K]`, those of one action side by side."""
        value, advantage = self.value(features), self.advantage(features)
        by_action = advantage.reshape(*advantage.shape[:-1], -1, value.shape[-1])  # [..., A, K]
        values = value[..., None, :] + by_action - jnp.mean(by_action, axis=-2, keepdims=True)
        values = values.reshape(advantage.shape)
        return values if self.activation is None else self.activation(values)


class QRnnNetwork(Network):
    """Observation to action values with memory: a RecurrentEncodingNetwork and the head of `QNetwork`.

    A sequence `[B, T]` needs `step_type` `[B, T]`: the state is zeros before every FIRST frame.

    Args:
      input_tensor_spec: a nest of specs.
      action_spec, q_layer_activation_fn: as for `QNetwork`.
      preprocessing_layers, preprocessing_combiner, conv_layer_params, input_fc_layer_params, lstm_size,
        output_fc_layer_params, activation_fn, kernel_initializer, dtype, cell_type, rnn_construction_fn: as for
        `RecurrentEncodingNetwork`.
      name: defaults to the class name.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      SpecError: another kind of action.
      ConfigError: as `RecurrentEncodingNetwork`.
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        action_spec: Any,
        preprocessing_layers: Any = None,
        preprocessing_combiner: Callable[..., Any] | None = None,
        conv_layer_params: Sequence[Sequence[Any]] | None = None,
        input_fc_layer_params: Sequence[int] | None = (75, 40),
        lstm_size: Sequence[int] | int | None = None,
        output_fc_layer_params: Sequence[int] | None = (75, 40),
        activation_fn: Activation = jax.nn.relu,
        kernel_initializer: Initializer | None = None,
        dtype: Any = jnp.float32,
        q_layer_activation_fn: Activation | None = None,
        cell_type: CellType = "lstm",
        rnn_construction_fn: Callable[[specs.TensorSpec, nnx.Rngs], Network] | None = None,
        name: str | None = None,
        *,
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
        self.q = value_head(encoder.num_features, num_actions_of(action_spec, self.name), rngs, q_layer_activation_fn)

    def call(
        self, observation: Any, step_type: Any, network_state: Any, training: bool = False
    ) -> tuple[jax.Array, Any]:
        """Returns the values and the next state."""
        features, next_state = self.encoder(observation, step_type, network_state, training)
        return self.q.transform(features), next_state
