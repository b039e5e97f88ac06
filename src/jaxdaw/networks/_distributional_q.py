"""Networks with a distribution of the return for each action: atoms (C51) and quantiles (QR-DQN)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx

from jaxdaw.errors import ConfigError, SpecTypeError
from jaxdaw.networks._constructor_arguments import as_rngs
from jaxdaw.networks._encoding import EncodingNetwork
from jaxdaw.networks._layers import Activation
from jaxdaw.networks._network import Network
from jaxdaw.networks._q import DuelingHead, num_actions_of, value_head
from jaxdaw.specs import flatten, is_bounded


class _DistributionalQNetwork(Network):
    """Observation to K numbers for each action, `[B, A, K]` or `[B, T, A, K]`: an EncodingNetwork and a dense head."""

    def __init__(
        self,
        input_tensor_spec: Any,
        action_spec: Any,
        count: int,
        least: int,
        encoder: dict[str, Any],
        dueling: bool,
        noisy: bool,
        name: str | None,
        rngs: nnx.Rngs | int,
    ):
        super().__init__(input_tensor_spec, (), name)
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < least:
            raise ConfigError(
                f"{self.name} was given a number of values for each action outside its range",
                expected=f"an integer of {least} or more",
                got=repr(count),
            )
        if not all(map(is_bounded, flatten(action_spec))):
            raise SpecTypeError(
                f"{self.name} needs to know how many actions there are",
                expected="BoundedTensorSpec((), int32, 0, n - 1)",
                got=str(action_spec),
            )
        rngs = as_rngs(rngs)
        num_actions = num_actions_of(action_spec, self.name)
        self._shape = num_actions, int(count)
        self.encoder = EncodingNetwork(input_tensor_spec, **encoder, noisy=noisy, rngs=rngs)
        if dueling:
            self.q: Any = DuelingHead(self.encoder.num_features, num_actions, rngs, num_values=int(count), noisy=noisy)
        else:
            self.q = value_head(self.encoder.num_features, num_actions * int(count), rngs, noisy=noisy)

    def call(self, observation: Any, training: bool = False) -> tuple[jax.Array, Any]:
        """Returns the numbers `[B, A, K]` or `[B, T, A, K]`, and `()`."""
        features, _ = self.encoder(observation, training=training)
        return self.q.transform(features).reshape(*features.shape[:-1], *self._shape), ()


class CategoricalQNetwork(_DistributionalQNetwork):
    """Observation to logits of K atoms for each action, `[B, A, K]` or `[B, T, A, K]`, for C51.

    Which returns the atoms stand for is told to the agent and to the policy, as `min_q_value` and `max_q_value`.

    Args:
      input_tensor_spec: a nest of specs.
      action_spec: one bounded integer action of shape `()` or `(1,)`; A = maximum - minimum + 1.
      num_atoms: K, 2 or more.
      preprocessing_layers, preprocessing_combiner, conv_layer_params, fc_layer_params, activation_fn: as for
        `EncodingNetwork`.
      name: defaults to the class name.
      dueling: whether logits are put together from those of the state and of the advantages, `V_k + A_k - mean_a A_k`.
      noisy: whether dense layers have learned noise in their weights, as in `QNetwork`.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      SpecError: another kind of action.
      SpecTypeError: an action without bounds.
      ConfigError: fewer than 2 atoms; as `EncodingNetwork`.

    Source: Bellemare, Dabney & Munos 2017; dueling: Hessel et al. 2018.
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        action_spec: Any,
        num_atoms: int = 51,
        preprocessing_layers: Any = None,
        preprocessing_combiner: Callable[..., Any] | None = None,
        conv_layer_params: Sequence[Sequence[Any]] | None = None,
        fc_layer_params: Sequence[int] | None = None,
        activation_fn: Activation = jax.nn.relu,
        name: str | None = None,
        *,
        dueling: bool = False,
        noisy: bool = False,
        rngs: nnx.Rngs | int = 0,
    ):
        encoder = {
            "preprocessing_layers": preprocessing_layers,
            "preprocessing_combiner": preprocessing_combiner,
            "conv_layer_params": conv_layer_params,
            "fc_layer_params": fc_layer_params,
            "activation_fn": activation_fn,
        }
        super().__init__(input_tensor_spec, action_spec, num_atoms, 2, encoder, dueling, noisy, name, rngs)

    @property
    def num_atoms(self) -> int:
        """K, atoms for each action."""
        return self._shape[1]


class QuantileQNetwork(_DistributionalQNetwork):
    """Observation to K quantiles of the return of each action, `[B, A, K]` or `[B, T, A, K]`, for QR-DQN.

    Args:
      input_tensor_spec: a nest of specs.
      action_spec: one bounded integer action of shape `()` or `(1,)`; A = maximum - minimum + 1.
      num_quantiles: K, 1 or more; the k-th quantile is that of the midpoint `(k + 1/2) / K`.
      preprocessing_layers, preprocessing_combiner, conv_layer_params, fc_layer_params, activation_fn: as for
        `EncodingNetwork`.
      name: defaults to the class name.
      dueling: whether quantiles are put together from those of the state and of the advantages.
      noisy: whether dense layers have learned noise in their weights, as in `QNetwork`.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      SpecError: another kind of action.
      SpecTypeError: an action without bounds.
      ConfigError: fewer than 1 quantile; as `EncodingNetwork`.

    Source: Dabney et al. 2018.
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        action_spec: Any,
        num_quantiles: int = 200,
        preprocessing_layers: Any = None,
        preprocessing_combiner: Callable[..., Any] | None = None,
        conv_layer_params: Sequence[Sequence[Any]] | None = None,
        fc_layer_params: Sequence[int] | None = None,
        activation_fn: Activation = jax.nn.relu,
        name: str | None = None,
        *,
        dueling: bool = False,
        noisy: bool = False,
        rngs: nnx.Rngs | int = 0,
    ):
        encoder = {
            "preprocessing_layers": preprocessing_layers,
            "preprocessing_combiner": preprocessing_combiner,
            "conv_layer_params": conv_layer_params,
            "fc_layer_params": fc_layer_params,
            "activation_fn": activation_fn,
        }
        super().__init__(input_tensor_spec, action_spec, num_quantiles, 1, encoder, dueling, noisy, name, rngs)

    @property
    def num_quantiles(self) -> int:
        """K, quantiles for each action."""
        return self._shape[1]
