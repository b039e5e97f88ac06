"""HeteroscedasticQNetwork: the mean and variance of the reward of every action."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdaw.errors import ConfigError
from jaxdaw.networks._constructor_arguments import as_rngs
from jaxdaw.networks._encoding import EncodingNetwork
from jaxdaw.networks._layers import Activation, DropoutParam, Initializer
from jaxdaw.networks._network import Network
from jaxdaw.networks._prediction import RewardPrediction
from jaxdaw.networks._q import num_actions_of, value_head


class HeteroscedasticQNetwork(Network):
    """Observation to a `RewardPrediction`: an EncodingNetwork, and a dense head each for means and log-variances.

    Args:
      input_tensor_spec: a nest of specs.
      action_spec: one bounded integer action of shape `()` or `(1,)`; A = maximum - minimum + 1.
      preprocessing_layers, preprocessing_combiner, conv_layer_params, fc_layer_params, dropout_layer_params,
        activation_fn, kernel_initializer, batch_squash, dtype: as for `EncodingNetwork`.
      min_variance, max_variance: above 0, in squared units of reward: log-variances are clipped to their logarithms,
        and learn nothing outside.
      name: defaults to the class name.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      SpecError: another kind of action.
      ConfigError: as `EncodingNetwork`; variances that are not `0 < min_variance < max_variance`.

    Source: Kendall & Gal 2017, "What uncertainties do we need in Bayesian deep learning for computer vision?", eq. 5.
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
        min_variance: float = 0.1,
        max_variance: float = 10000.0,
        dtype: Any = jnp.float32,
        name: str | None = None,
        *,
        rngs: nnx.Rngs | int = 0,
    ):
        super().__init__(input_tensor_spec, (), name)
        rngs = as_rngs(rngs)
        if not 0.0 < min_variance < max_variance < math.inf:
            raise ConfigError(
                f"{self.name} needs bounds of the variance",
                expected="0 < min_variance < max_variance",
                got=f"{min_variance}, {max_variance}",
            )
        self._log_bounds = math.log(min_variance), math.log(max_variance)
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
            rngs=rngs,
        )
        self.q = value_head(self.encoder.num_features, num_actions, rngs)
        self.log_variance = value_head(self.encoder.num_features, num_actions, rngs)

    def call(self, observation: Any, training: bool = False) -> tuple[RewardPrediction, Any]:
        """Returns the predictions `[B, A]` or `[B, T, A]`, and `()`."""
        features, _ = self.encoder(observation, training=training)
        low, high = self._log_bounds
        log_variance = jnp.clip(self.log_variance.transform(features), low, high)
        return RewardPrediction(self.q.transform(features), log_variance), ()
