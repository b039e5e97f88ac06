"""LinearRewardNetwork: Bayesian linear regression of rewards on features."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdaw import specs
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.math import linear_beliefs, recursive_least_squares
from jaxdaw.networks._network import Network
from jaxdaw.networks._prediction import RewardBelief
from jaxdaw.networks._q import num_actions_of


class LinearRewardNetwork(Network):
    """Bayesian linear regression of rewards, exact: observation to a `RewardBelief`.

    Each action has a model of its own over all features of the observation, flattened and concatenated. With
    features of arms, all arms share one model, over the features of the context and of the arm.

    It is not trained by gradients: `learned` returns what it is after a batch, and LinearUCBAgent and
    LinearThompsonSamplingAgent call it. Its variables are `root` `[K, D, D]` and `response` `[K, D]`, with K models, as
    `jaxdaw.math.recursive_least_squares` has them.

    Args:
      input_tensor_spec: a nest of specs; with features of arms `{"global": nest, "per_arm": nest of [A, ...]}`.
      action_spec: one bounded integer action of shape `()` or `(1,)`; A = maximum - minimum + 1.
      tikhonov_weight: above 0: the prior's precision, which keeps what was not seen at 0.
      add_bias: whether there is a feature that is always 1.
      accepts_per_arm_features: whether observations hold features of arms.
      name: defaults to the class name.
      rngs: not needed: nothing is random.

    Raises:
      SpecError: another kind of action, no features of arms, or arms of another number.
      ConfigError: `tikhonov_weight` is not above 0.

    Source: Li, Chu, Langford & Schapire 2010, algorithm 1 (a model for each action) and its hybrid's shared part.
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        action_spec: Any,
        tikhonov_weight: float = 1.0,
        add_bias: bool = False,
        accepts_per_arm_features: bool = False,
        name: str | None = None,
        *,
        rngs: nnx.Rngs | int = 0,
    ):
        del rngs
        if accepts_per_arm_features:
            if not isinstance(input_tensor_spec, dict) or not {"global", "per_arm"} <= set(input_tensor_spec):
                raise SpecError(
                    "LinearRewardNetwork needs features of arms",
                    expected='{"global": nest, "per_arm": nest of [A, ...]}',
                    got=str(input_tensor_spec)[:80],
                )
            input_tensor_spec = {key: input_tensor_spec[key] for key in ("global", "per_arm")}
        super().__init__(input_tensor_spec, (), name)
        if not 0.0 < tikhonov_weight < math.inf:
            raise ConfigError(
                f"{self.name} needs a prior", expected="tikhonov_weight in (0, inf)", got=repr(tikhonov_weight)
            )
        self._tikhonov_weight, self._add_bias = float(tikhonov_weight), add_bias
        self._num_actions = num_actions_of(action_spec, self.name)
        self._shared = accepts_per_arm_features
        size = jax.eval_shape(self.features, specs.to_shape_dtype_struct(input_tensor_spec, (1,))).shape[-1]
        models = 1 if accepts_per_arm_features else self._num_actions
        prior = jnp.sqrt(jnp.float32(tikhonov_weight)) * jnp.eye(size, dtype=jnp.float32)
        self.root = nnx.Param(jnp.tile(prior, (models, 1, 1)))
        self.response = nnx.Param(jnp.zeros((models, size), jnp.float32))

    def features(self, observation: Any) -> jax.Array:
        """Returns the features `[B, D]`, or those of every arm `[B, A, D]`, float32; pure.

        Args:
          observation: `[B, ...]`; of any number of arms.
        """
        if not self._shared:
            return self._flat(observation, 1)
        arms = self._flat(observation["per_arm"], 2, add_bias=False)
        context = jnp.expand_dims(self._flat(observation["global"], 1), axis=1)
        return jnp.concatenate([jnp.broadcast_to(context, (*arms.shape[:2], context.shape[-1])), arms], axis=-1)

    def _flat(self, nest: Any, axes: int, add_bias: bool | None = None) -> jax.Array:
        leaves = [jnp.asarray(leaf, jnp.float32) for leaf in specs.flatten(nest)]
        parts = [leaf.reshape(*leaf.shape[:axes], -1) for leaf in leaves]
        if self._add_bias if add_bias is None else add_bias:
            parts.append(jnp.ones((*parts[0].shape[:axes], 1), jnp.float32))
        return jnp.concatenate(parts, axis=-1)

    def call(self, observation: Any) -> tuple[RewardBelief, Any]:
        """Returns the beliefs, `[B, A]` or `[B, T, A]`, and `()`."""
        outer = specs.outer_shape(observation, self._spec_for(observation))
        rows = specs.map_structure(
            lambda x: jnp.reshape(x, (math.prod(outer), *np.shape(x)[len(outer) :])), observation
        )
        features, root, response = self.features(rows), self.root[...], self.response[...]
        if self._shared:
            mean, deviation = linear_beliefs(root[0], response[0], features.reshape(-1, features.shape[-1]))
        else:
            mean, deviation = (x.T for x in jax.vmap(linear_beliefs, (0, 0, None))(root, response, features))
        return RewardBelief(mean.reshape(*outer, -1), deviation.reshape(*outer, -1)), ()

    def learned(
        self, params: Any, observation: Any, action: Any, reward: Any, weights: Any, forgetting: float = 1.0
    ) -> Any:
        """Returns `params` after a batch of examples; pure, and exact.

        Args:
          params: of `get_weights().params`.
          observation: `[N, ...]`; with features of arms, of the arm that was chosen, or of all.
          action: integers `[N]`; among the arms that there are.
          reward: `[N]`.
          weights: `[N]`, 0 or more.
          forgetting: what all before counts once this batch is there, in `[0, 1]`.
        """
        features = self.features(observation)
        if self._shared:
            chosen = jnp.clip(action, 0, features.shape[1] - 1)[:, None, None]
            features = jnp.squeeze(jnp.take_along_axis(features, chosen, axis=1), axis=1)
            mine = weights[None]
        else:
            mine = jnp.where(action == jnp.arange(self._num_actions)[:, None], weights, 0.0)

        def learn(root: jax.Array, response: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
            prior = self._tikhonov_weight
            return recursive_least_squares(root, response, features, reward, weights, forgetting, prior)

        root, response = jax.vmap(learn)(params["root"], params["response"], mine)
        return {"root": root, "response": response}

    def coefficients(self) -> jax.Array:
        """Returns the mean coefficients of every model, `[K, D]`."""
        return jax.vmap(jax.scipy.linalg.solve_triangular)(self.root[...], self.response[...])

    def _spec_for(self, observation: Any) -> Any:
        """Returns the input spec with as many arms as an observation has."""
        spec = self.input_tensor_spec
        if not self._shared:
            return spec
        leaf, value = specs.flatten(spec["per_arm"])[0], specs.flatten(observation["per_arm"])[0]
        rank = len(leaf.shape)
        if np.ndim(value) <= rank:
            return spec
        arms = np.shape(value)[-rank]
        return {
            **spec,
            "per_arm": specs.map_structure(
                lambda leaf: specs.TensorSpec((arms, *leaf.shape[1:]), leaf.dtype, leaf.name), spec["per_arm"]
            ),
        }
