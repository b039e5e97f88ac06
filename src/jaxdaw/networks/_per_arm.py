"""Networks over features of a context and of arms: two towers, and how they are combined."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdaw import specs
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.networks._constructor_arguments import as_rngs
from jaxdaw.networks._encoding import EncodingNetwork, concatenate
from jaxdaw.networks._layers import Activation
from jaxdaw.networks._network import Network
from jaxdaw.networks._q import QNetwork


class PerArmNetwork(Network):
    """A network over observations `{"global": ..., "per_arm": [A, ...]}` that takes any number of arms.

    Each arm's value depends on its own features alone, so that a network that is trained on the arms that were chosen
    values all of them. A subclass writes `_values`.

    Args:
      input_tensor_spec: `{"global": nest, "per_arm": nest of [A, ...]}`; other keys are dropped.
      name: defaults to the class name.

    Raises:
      SpecError: another structure, or arms of different numbers.
    """

    def __init__(self, input_tensor_spec: Any, name: str | None = None):
        if not isinstance(input_tensor_spec, Mapping) or not {"global", "per_arm"} <= set(input_tensor_spec):
            raise SpecError(
                f"{type(self).__name__} needs features of arms",
                expected='{"global": nest, "per_arm": nest of [A, ...]}',
                got=str(input_tensor_spec)[:80],
            )
        super().__init__({key: input_tensor_spec[key] for key in ("global", "per_arm")}, (), name)
        shapes = [leaf.shape for leaf in specs.flatten(input_tensor_spec["per_arm"])]
        if not shapes or len({shape[:1] for shape in shapes}) != 1 or () in shapes:
            raise SpecError(
                f"{self.name} needs as many rows of each feature as there are arms",
                expected="(A, ...)",
                got=str(shapes)[:80],
            )

    def _values(self, context: Any, arms: Any, training: bool) -> jax.Array:
        """Returns the values `[N, A]` of contexts `[N, ...]` and arms `[N, A, ...]`."""
        raise NotImplementedError(f"{type(self).__name__} must define _values")

    def call(self, observation: Any, training: bool = False) -> tuple[jax.Array, Any]:
        """Returns the values `[B, A]` or `[B, T, A]`, for as many arms as there are, and `()`."""
        outer = specs.outer_shape(observation, self._spec_for(observation))
        rows = specs.map_structure(
            lambda x: jnp.reshape(x, (math.prod(outer), *np.shape(x)[len(outer) :])), observation
        )
        values = self._values(rows["global"], rows["per_arm"], training)
        return values.reshape(*outer, values.shape[-1]), ()

    def _spec_for(self, observation: Any) -> Any:
        """Returns the input spec with as many arms as an observation has."""
        spec = self.input_tensor_spec
        leaf, value = specs.flatten(spec["per_arm"])[0], specs.flatten(observation["per_arm"])[0]
        rank = len(leaf.shape)
        if np.ndim(value) <= rank:
            return spec
        arms = np.shape(value)[-rank]
        return {**spec, "per_arm": specs.map_structure(lambda leaf: _with_arms(leaf, arms), spec["per_arm"])}


class GlobalAndArmCommonTowerNetwork(PerArmNetwork):
    """The value of an arm: a common tower over the concatenated features of the context and of the arm.

    Args:
      input_tensor_spec: as for `PerArmNetwork`; nests are flattened and concatenated.
      global_layers: the units of the context's dense layers.
      arm_layers: those of the arm's.
      common_layers: those above both, before the last, linear one.
      activation_fn: after each but the last.
      name: defaults to the class name.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      SpecError: as `PerArmNetwork`.
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        global_layers: Sequence[int] = (),
        arm_layers: Sequence[int] = (),
        common_layers: Sequence[int] = (),
        activation_fn: Activation = jax.nn.relu,
        name: str | None = None,
        *,
        rngs: nnx.Rngs | int = 0,
    ):
        super().__init__(input_tensor_spec, name)
        rngs = as_rngs(rngs)
        self.context_tower, self.arm_tower = _towers(self, global_layers, arm_layers, activation_fn, rngs)
        width = self.context_tower.num_features + self.arm_tower.num_features
        one_value = specs.BoundedTensorSpec((), np.int32, 0, 0)
        features = specs.TensorSpec((width,), np.float32)
        self.common_tower = QNetwork(
            features, one_value, fc_layer_params=common_layers, activation_fn=activation_fn, rngs=rngs
        )

    def _values(self, context: Any, arms: Any, training: bool) -> jax.Array:
        of_context, _ = self.context_tower(context, training=training)
        of_arms, _ = self.arm_tower(arms, training=training)
        repeated = jnp.broadcast_to(of_context[:, None], (*of_arms.shape[:2], of_context.shape[-1]))
        values, _ = self.common_tower(jnp.concatenate([repeated, of_arms], axis=-1), training=training)
        return jnp.squeeze(values, axis=-1)


class GlobalAndArmDotProductNetwork(PerArmNetwork):
    """The value of an arm: the inner product of the context's and the arm's embedding.

    Args:
      input_tensor_spec: as for `PerArmNetwork`; nests are flattened and concatenated.
      global_layers, arm_layers: the units of the dense layers of both; the last of each is the size of the embedding.
      activation_fn: after each layer, the last too.
      name: defaults to the class name.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      SpecError: as `PerArmNetwork`.
      ConfigError: embeddings of two sizes.
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        global_layers: Sequence[int],
        arm_layers: Sequence[int],
        activation_fn: Activation = jax.nn.relu,
        name: str | None = None,
        *,
        rngs: nnx.Rngs | int = 0,
    ):
        super().__init__(input_tensor_spec, name)
        self.context_tower, self.arm_tower = _towers(self, global_layers, arm_layers, activation_fn, as_rngs(rngs))
        sizes = self.context_tower.num_features, self.arm_tower.num_features
        if sizes[0] != sizes[1]:
            raise ConfigError(
                f"{self.name} multiplies embeddings of two sizes",
                expected="global_layers[-1] == arm_layers[-1]",
                got=f"{sizes[0]} and {sizes[1]}",
            )

    def _values(self, context: Any, arms: Any, training: bool) -> jax.Array:
        of_context, _ = self.context_tower(context, training=training)
        of_arms, _ = self.arm_tower(arms, training=training)
        return jnp.einsum("ne,nae->na", of_context, of_arms)


def _towers(
    network: PerArmNetwork,
    global_layers: Sequence[int],
    arm_layers: Sequence[int],
    activation_fn: Activation,
    rngs: nnx.Rngs,
) -> tuple[EncodingNetwork, EncodingNetwork]:
    spec = network.input_tensor_spec
    one_arm = specs.map_structure(lambda leaf: specs.TensorSpec(leaf.shape[1:], leaf.dtype), spec["per_arm"])
    context, arm = (
        EncodingNetwork(
            part,
            preprocessing_combiner=None if len(specs.flatten(part)) == 1 else concatenate,
            fc_layer_params=layers,
            activation_fn=activation_fn,
            rngs=rngs,
        )
        for part, layers in ((spec["global"], global_layers), (one_arm, arm_layers))
    )
    return context, arm


def _with_arms(spec: specs.TensorSpec, arms: int) -> specs.TensorSpec:
    return specs.TensorSpec((arms, *spec.shape[1:]), spec.dtype, spec.name)
