"""Actor networks that return distributions over any nest of actions, and recurrent actor networks."""

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
from jaxdaw.networks._layers import Activation, Dense, DropoutParam, Initializer, symmetric_uniform
from jaxdaw.networks._network import Network
from jaxdaw.networks._projections import CategoricalProjection, NormalProjection, Projection, tanh_squash_to_spec
from jaxdaw.networks._recurrent import CellType, RecurrentEncodingNetwork


def _projections(
    action_spec: Any, num_features: int, discrete: Projection, continuous: Projection, rngs: nnx.Rngs
) -> nnx.List[Any]:
    """Returns one projection for each leaf of the action spec."""
    leaves = specs.flatten(action_spec)
    return nnx.List([(discrete if specs.is_discrete(s) else continuous)(num_features, s, rngs=rngs) for s in leaves])


class ActorDistributionNetwork(Network):
    """Observation to a nest of distributions over actions: an EncodingNetwork and one projection for each leaf.

    Args:
      input_tensor_spec: a nest of specs.
      output_tensor_spec: a nest of action specs, integers and floats mixed at will.
      preprocessing_layers, preprocessing_combiner, conv_layer_params, fc_layer_params, dropout_layer_params,
        activation_fn, kernel_initializer, batch_squash, dtype: as for `EncodingNetwork`.
      discrete_projection_net, continuous_projection_net: make the projections of integer and of float leaves:
        `(num_features, spec, rngs=...) -> module`; options by `functools.partial(NormalProjection, ...)`.
      name: defaults to the class name.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      SpecError: an action that its projection cannot give.
      ConfigError: as `EncodingNetwork`.

    >>> steer = specs.BoundedTensorSpec((2,), "float32", -1, 1)
    >>> network = ActorDistributionNetwork(specs.TensorSpec((3,), "float32"), {"steer": steer}, fc_layer_params=(8,))
    >>> network(jnp.ones((5, 3)))[0]["steer"].mode().shape
    (5, 2)
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        output_tensor_spec: Any,
        preprocessing_layers: Any = None,
        preprocessing_combiner: Callable[..., Any] | None = None,
        conv_layer_params: Sequence[Sequence[Any]] | None = None,
        fc_layer_params: Sequence[int] | None = (200, 100),
        dropout_layer_params: Sequence[DropoutParam] | None = None,
        activation_fn: Activation = jax.nn.relu,
        kernel_initializer: Initializer | None = None,
        batch_squash: bool = True,
        dtype: Any = jnp.float32,
        discrete_projection_net: Projection = CategoricalProjection,
        continuous_projection_net: Projection = NormalProjection,
        name: str | None = None,
        *,
        rngs: nnx.Rngs | int = 0,
    ):
        super().__init__(input_tensor_spec, (), name)
        rngs = as_rngs(rngs)
        self._output_tensor_spec = output_tensor_spec
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
            rngs=rngs,
        )
        self.head = _projections(
            output_tensor_spec, self.encoder.num_features, discrete_projection_net, continuous_projection_net, rngs
        )

    def call(self, observation: Any, training: bool = False) -> tuple[Any, Any]:
        """Returns the distributions, in the nest of `output_tensor_spec`, and `()`."""
        features, _ = self.encoder(observation, training=training)
        return specs.pack_like(self._output_tensor_spec, [head(features) for head in self.head]), ()


class _RecurrentActor(Network):
    """Base class of recurrent actors: a RecurrentEncodingNetwork and one head for each leaf of the action spec."""

    def __init__(
        self,
        input_tensor_spec: Any,
        output_tensor_spec: Any,
        preprocessing_layers: Any = None,
        preprocessing_combiner: Callable[..., Any] | None = None,
        conv_layer_params: Sequence[Sequence[Any]] | None = None,
        input_fc_layer_params: Sequence[int] | None = (200, 100),
        lstm_size: Sequence[int] | int | None = None,
        output_fc_layer_params: Sequence[int] | None = (200, 100),
        activation_fn: Activation = jax.nn.relu,
        kernel_initializer: Initializer | None = None,
        dtype: Any = jnp.float32,
        discrete_projection_net: Projection = CategoricalProjection,
        continuous_projection_net: Projection = NormalProjection,
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
        self._output_tensor_spec = output_tensor_spec
        self.encoder = encoder
        self.head = _projections(
            output_tensor_spec, encoder.num_features, discrete_projection_net, continuous_projection_net, rngs
        )

    def call(self, observation: Any, step_type: Any, network_state: Any, training: bool = False) -> tuple[Any, Any]:
        """Returns the heads' outputs, in the nest of `output_tensor_spec`, and the next state."""
        features, next_state = self.encoder(observation, step_type, network_state, training)
        return specs.pack_like(self._output_tensor_spec, [head(features) for head in self.head]), next_state


class ActorDistributionRnnNetwork(_RecurrentActor):
    """Observation to a nest of distributions over actions, with memory.

    A sequence `[B, T]` needs `step_type` `[B, T]`: the state is zeros before every FIRST frame.

    Args:
      input_tensor_spec: a nest of specs.
      output_tensor_spec, discrete_projection_net, continuous_projection_net: as for `ActorDistributionNetwork`.
      preprocessing_layers, preprocessing_combiner, conv_layer_params, input_fc_layer_params, lstm_size,
        output_fc_layer_params, activation_fn, kernel_initializer, dtype, cell_type, rnn_construction_fn: as for
        `RecurrentEncodingNetwork`.
      name: defaults to the class name.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      SpecError: an action that its projection cannot give.
      ConfigError: as `RecurrentEncodingNetwork`.
    """


class ActorRnnNetwork(_RecurrentActor):
    """Observation to a nest of float actions within their bounds, with memory.

    Each is `(maximum + minimum) / 2 + (maximum - minimum) / 2 * tanh(x)`. A sequence `[B, T]` needs `step_type`
    `[B, T]`.

    Args:
      input_tensor_spec: a nest of specs.
      output_tensor_spec: a nest of float specs with finite bounds.
      preprocessing_layers, preprocessing_combiner, conv_layer_params, input_fc_layer_params, lstm_size,
        output_fc_layer_params, activation_fn, kernel_initializer, dtype, cell_type, rnn_construction_fn: as for
        `RecurrentEncodingNetwork`.
      last_kernel_initializer: of the last layers; default uniform in `[-0.003, 0.003]`.
      name: defaults to the class name.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      SpecError: integers, or bounds that are missing or infinite.
      ConfigError: as `RecurrentEncodingNetwork`.
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        output_tensor_spec: Any,
        preprocessing_layers: Any = None,
        preprocessing_combiner: Callable[..., Any] | None = None,
        conv_layer_params: Sequence[Sequence[Any]] | None = None,
        input_fc_layer_params: Sequence[int] | None = (200, 100),
        lstm_size: Sequence[int] | int | None = None,
        output_fc_layer_params: Sequence[int] | None = (200, 100),
        activation_fn: Activation = jax.nn.relu,
        kernel_initializer: Initializer | None = None,
        last_kernel_initializer: Initializer | None = None,
        dtype: Any = jnp.float32,
        cell_type: CellType = "lstm",
        rnn_construction_fn: Callable[[specs.TensorSpec, nnx.Rngs], Network] | None = None,
        name: str | None = None,
        *,
        rngs: nnx.Rngs | int = 0,
    ):
        def head(num_features: int, spec: Any, rngs: nnx.Rngs) -> Any:
            return _SquashedHead(num_features, spec, last_kernel_initializer, rngs=rngs)

        super().__init__(
            input_tensor_spec,
            output_tensor_spec,
            preprocessing_layers,
            preprocessing_combiner,
            conv_layer_params,
            input_fc_layer_params,
            lstm_size,
            output_fc_layer_params,
            activation_fn,
            kernel_initializer,
            dtype,
            discrete_projection_net=head,
            continuous_projection_net=head,
            cell_type=cell_type,
            rnn_construction_fn=rnn_construction_fn,
            name=name,
            rngs=rngs,
        )


class _SquashedHead(nnx.Module):
    def __init__(self, num_features: int, spec: Any, kernel_init: Initializer | None, *, rngs: nnx.Rngs):
        bounded = isinstance(spec, specs.BoundedTensorSpec) and specs.is_continuous(spec)
        if not bounded or not np.isfinite([np.min(spec.minimum), np.max(spec.maximum)]).all():
            raise SpecError(
                "ActorRnnNetwork gives float actions within finite bounds",
                expected="BoundedTensorSpec(shape, float32, minimum, maximum)",
                got=str(spec),
                fix="ActorDistributionRnnNetwork for integers",
            )
        self.spec = spec
        init = symmetric_uniform(0.003) if kernel_init is None else kernel_init
        self.action = Dense(num_features, math.prod(spec.shape), kernel_init=init, rngs=rngs)

    def __call__(self, features: jax.Array) -> jax.Array:
        raw = self.action.transform(features).reshape(*features.shape[:-1], *self.spec.shape)
        return tanh_squash_to_spec(raw, self.spec).astype(self.spec.dtype)
