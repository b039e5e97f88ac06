"""CriticNetwork and CriticRnnNetwork: from an observation and an action to the value of the action."""

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
from jaxdaw.networks._layers import (
    Activation,
    Dense,
    DropoutParam,
    Initializer,
    as_network,
    fan_in_uniform,
    symmetric_uniform,
)
from jaxdaw.networks._network import Network
from jaxdaw.networks._recurrent import CellType, RecurrentEncodingNetwork


class _CriticEncoder(Network):
    """Observation and action to features: each is encoded, then dense layers follow on the concatenation of both."""

    def __init__(
        self,
        input_tensor_spec: Any,
        observation_conv_layer_params: Sequence[Sequence[Any]] | None,
        observation_fc_layer_params: Sequence[int] | None,
        observation_dropout_layer_params: Sequence[DropoutParam] | None,
        action_fc_layer_params: Sequence[int] | None,
        action_dropout_layer_params: Sequence[DropoutParam] | None,
        joint_fc_layer_params: Sequence[int] | None,
        joint_dropout_layer_params: Sequence[DropoutParam] | None,
        activation_fn: Activation,
        kernel_initializer: Initializer | None,
        preprocessing_layers: Any,
        preprocessing_combiner: Callable[..., Any] | None,
        scale_actions: bool,
        owner: str,
        *,
        rngs: nnx.Rngs,
    ):
        super().__init__(input_tensor_spec, (), owner)
        observation_spec, action_spec = _observation_and_action(input_tensor_spec, owner)
        self._scaled = _bounded(action_spec, owner) if scale_actions else None
        kernel_init = fan_in_uniform if kernel_initializer is None else kernel_initializer
        self.observation = EncodingNetwork(
            observation_spec,
            preprocessing_layers,
            preprocessing_combiner,
            observation_conv_layer_params,
            observation_fc_layer_params,
            observation_dropout_layer_params,
            activation_fn,
            kernel_initializer=kernel_init,
            name=owner,
            rngs=rngs,
        )
        self.action = EncodingNetwork(
            action_spec,
            fc_layer_params=action_fc_layer_params,
            dropout_layer_params=action_dropout_layer_params,
            activation_fn=activation_fn,
            kernel_initializer=kernel_init,
            name=owner,
            rngs=rngs,
        )
        joint = specs.TensorSpec((self.observation.num_features + self.action.num_features,), np.float32)
        self.joint = EncodingNetwork(
            joint,
            fc_layer_params=joint_fc_layer_params,
            dropout_layer_params=joint_dropout_layer_params,
            activation_fn=activation_fn,
            kernel_initializer=kernel_init,
            name=owner,
            rngs=rngs,
        )

    @property
    def num_features(self) -> int:
        """The size of the output's last axis."""
        return self.joint.num_features

    def call(self, observation: Any, training: bool = False) -> tuple[jax.Array, Any]:
        """Returns the features of a pair `(observation, action)` and `()`."""
        state, action = observation
        if self._scaled is not None:
            (spec,), (leaf,) = specs.flatten(self._scaled), specs.flatten(action)
            middle, half = (spec.maximum + spec.minimum) / 2, (spec.maximum - spec.minimum) / 2
            action = specs.pack_like(action, [(leaf - middle) / half])
        parts = self.observation(state, training=training)[0], self.action(action, training=training)[0]
        return self.joint(jnp.concatenate(parts, axis=-1), training=training)


def _observation_and_action(input_tensor_spec: Any, owner: str) -> tuple[Any, Any]:
    is_pair = isinstance(input_tensor_spec, list | tuple) and len(input_tensor_spec) == 2
    actions = specs.flatten(input_tensor_spec[1]) if is_pair else []
    if len(actions) != 1:
        raise SpecError(
            f"{owner} gives a value to an observation and one action",
            expected="input_tensor_spec = (observation_spec, action_spec)",
            got=f"{len(actions)} actions" if is_pair else f"a {type(input_tensor_spec).__name__}",
        )
    return input_tensor_spec[0], input_tensor_spec[1]


def _bounded(action_spec: Any, owner: str) -> Any:
    (spec,) = specs.flatten(action_spec)
    bounded = isinstance(spec, specs.BoundedTensorSpec) and specs.is_continuous(spec)
    if not bounded or not np.isfinite([np.min(spec.minimum), np.max(spec.maximum)]).all():
        raise SpecError(
            f"{owner} scales float actions within finite bounds",
            expected="BoundedTensorSpec(shape, float32, minimum, maximum)",
            got=str(spec),
            fix="scale_actions=False",
        )
    if np.any(spec.minimum == spec.maximum):
        raise SpecError(f"{owner} cannot scale an action of one value", got=str(spec), fix="scale_actions=False")
    return action_spec


class CriticNetwork(Network):
    """An observation and an action to the value of the action, `[B]` or `[B, T]`.

    Called with a pair: `network((observation, action), step_type)`. Both are encoded by layers of their own, and the
    joint layers follow on the concatenation. The action enters as it is, unless `scale_actions`. With no layers at all
    the network is linear.

    Args:
      input_tensor_spec: `(observation_spec, action_spec)`: a nest of specs, and a nest of one spec of any shape.
      observation_conv_layer_params, observation_fc_layer_params, observation_dropout_layer_params: of the observation,
        as for `EncodingNetwork`.
      action_fc_layer_params, action_dropout_layer_params: the units of each dense layer on the action alone.
      joint_fc_layer_params, joint_dropout_layer_params: the units of each dense layer on both.
      activation_fn: after each layer but the last.
      output_activation_fn: after the last layer; None for none.
      kernel_initializer: of all layers but the last; default uniform within sqrt(1 / fan_in).
      last_kernel_initializer: of the last layer; default uniform in `[-0.003, 0.003]`: values start near 0.
      last_layer: instead of the last dense layer, a layer from the joint features to `[B, 1]`: a Network, a plain
        function, or a factory `lambda rngs: nnx.Linear(64, 1, rngs=rngs)`.
      preprocessing_layers, preprocessing_combiner: of the observation, as for `EncodingNetwork`.
      scale_actions: whether actions are scaled from their bounds to `[-1, 1]` before the layers.
      name: defaults to the class name.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      SpecError: `input_tensor_spec` is not a pair, several actions, a `last_layer` with another number of outputs, or
        bounds to which actions cannot be scaled.
      ConfigError: as `EncodingNetwork`.

    Source: Lillicrap et al. 2016, section 7 (initial weights).

    >>> steer = specs.BoundedTensorSpec((2,), "float32", -1, 1)
    >>> network = CriticNetwork((specs.TensorSpec((3,), "float32"), steer), joint_fc_layer_params=(8,))
    >>> network((jnp.ones((5, 3)), jnp.zeros((5, 2))))[0].shape
    (5,)
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        observation_conv_layer_params: Sequence[Sequence[Any]] | None = None,
        observation_fc_layer_params: Sequence[int] | None = None,
        observation_dropout_layer_params: Sequence[DropoutParam] | None = None,
        action_fc_layer_params: Sequence[int] | None = None,
        action_dropout_layer_params: Sequence[DropoutParam] | None = None,
        joint_fc_layer_params: Sequence[int] | None = None,
        joint_dropout_layer_params: Sequence[DropoutParam] | None = None,
        activation_fn: Activation = jax.nn.relu,
        output_activation_fn: Activation | None = None,
        kernel_initializer: Initializer | None = None,
        last_kernel_initializer: Initializer | None = None,
        last_layer: Any = None,
        name: str | None = None,
        *,
        preprocessing_layers: Any = None,
        preprocessing_combiner: Callable[..., Any] | None = None,
        scale_actions: bool = False,
        rngs: nnx.Rngs | int = 0,
    ):
        super().__init__(input_tensor_spec, (), name)
        rngs = as_rngs(rngs)
        self.encoder = _CriticEncoder(
            input_tensor_spec,
            observation_conv_layer_params,
            observation_fc_layer_params,
            observation_dropout_layer_params,
            action_fc_layer_params,
            action_dropout_layer_params,
            joint_fc_layer_params,
            joint_dropout_layer_params,
            activation_fn,
            kernel_initializer,
            preprocessing_layers,
            preprocessing_combiner,
            scale_actions,
            self.name,
            rngs=rngs,
        )
        self.last_layer = None if last_layer is None else as_network(last_layer, rngs)
        if self.last_layer is None:
            self.value = _value_layer(self.encoder.num_features, output_activation_fn, last_kernel_initializer, rngs)
        else:
            features = specs.TensorSpec((self.encoder.num_features,), np.float32)
            shape = self.last_layer.create_variables(features).shape
            if shape != (1,):
                raise SpecError(
                    f"the last_layer of {self.name} does not give one value", expected="(1,)", got=str(shape)
                )

    def call(self, observation: Any, training: bool = False) -> tuple[jax.Array, Any]:
        """Returns the values of a pair `(observation, action)` and `()`."""
        features, _ = self.encoder(observation, training=training)
        if self.last_layer is None:
            values = self.value.transform(features)
        else:
            values, _ = self.last_layer(features, training=training)
        return jnp.squeeze(values, axis=-1), ()


class CriticRnnNetwork(Network):
    """An observation and an action to the value of the action, with memory.

    Each frame is encoded as by `CriticNetwork`; then come a recurrent core and dense layers. A sequence `[B, T]` needs
    `step_type` `[B, T]`: the state is zeros before every FIRST frame.

    Args:
      input_tensor_spec: `(observation_spec, action_spec)`, as for `CriticNetwork`.
      observation_conv_layer_params, observation_fc_layer_params, action_fc_layer_params, joint_fc_layer_params,
        preprocessing_layers, preprocessing_combiner, scale_actions: as for `CriticNetwork`.
      lstm_size, output_fc_layer_params, cell_type, rnn_construction_fn: as for `RecurrentEncodingNetwork`.
      activation_fn: after each dense layer but the last.
      kernel_initializer: of all dense layers but the last; default uniform within sqrt(1 / fan_in).
      last_kernel_initializer: of the last layer; default uniform in `[-0.003, 0.003]`.
      name: defaults to the class name.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      SpecError: `input_tensor_spec` is not a pair, several actions, or bounds to which they cannot be scaled.
      ConfigError: not exactly one of `lstm_size` and `rnn_construction_fn`; otherwise as `EncodingNetwork`.
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        observation_conv_layer_params: Sequence[Sequence[Any]] | None = None,
        observation_fc_layer_params: Sequence[int] | None = (200,),
        action_fc_layer_params: Sequence[int] | None = (200,),
        joint_fc_layer_params: Sequence[int] | None = (100,),
        lstm_size: Sequence[int] | int | None = None,
        output_fc_layer_params: Sequence[int] | None = (200, 100),
        activation_fn: Activation = jax.nn.relu,
        kernel_initializer: Initializer | None = None,
        last_kernel_initializer: Initializer | None = None,
        rnn_construction_fn: Callable[[specs.TensorSpec, nnx.Rngs], Network] | None = None,
        name: str | None = None,
        *,
        cell_type: CellType = "lstm",
        preprocessing_layers: Any = None,
        preprocessing_combiner: Callable[..., Any] | None = None,
        scale_actions: bool = False,
        rngs: nnx.Rngs | int = 0,
    ):
        rngs = as_rngs(rngs)
        owner = type(self).__name__ if name is None else name
        encoder = _CriticEncoder(
            input_tensor_spec,
            observation_conv_layer_params,
            observation_fc_layer_params,
            None,
            action_fc_layer_params,
            None,
            joint_fc_layer_params,
            None,
            activation_fn,
            kernel_initializer,
            preprocessing_layers,
            preprocessing_combiner,
            scale_actions,
            owner,
            rngs=rngs,
        )
        memory = RecurrentEncodingNetwork(
            specs.TensorSpec((encoder.num_features,), np.float32),
            input_fc_layer_params=None,
            lstm_size=lstm_size,
            output_fc_layer_params=output_fc_layer_params,
            activation_fn=activation_fn,
            kernel_initializer=fan_in_uniform if kernel_initializer is None else kernel_initializer,
            cell_type=cell_type,
            rnn_construction_fn=rnn_construction_fn,
            rngs=rngs,
        )
        super().__init__(input_tensor_spec, memory.state_spec, name)
        self.encoder = encoder
        self.memory = memory
        self.value = _value_layer(memory.num_features, None, last_kernel_initializer, rngs)

    def call(
        self, observation: Any, step_type: Any, network_state: Any, training: bool = False
    ) -> tuple[jax.Array, Any]:
        """Returns the values of a pair `(observation, action)` and the next state."""
        features, _ = self.encoder(observation, training=training)
        features, next_state = self.memory(features, step_type, network_state, training)
        return jnp.squeeze(self.value(features), axis=-1), next_state


def _value_layer(
    num_features: int, activation: Activation | None, kernel_initializer: Initializer | None, rngs: nnx.Rngs
) -> Dense:
    kernel_init = symmetric_uniform(0.003) if kernel_initializer is None else kernel_initializer
    return Dense(num_features, 1, activation, kernel_init=kernel_init, rngs=rngs)
