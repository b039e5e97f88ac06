"""NoisyDense: a dense layer with learned noise in its weights, and the draw of that noise."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdaw.networks._layers import Activation, Dense, symmetric_uniform

_Weights = TypeVar("_Weights")
_DEVIATION = "kernel_deviation"


class NoisyDense(Dense):
    """A dense layer whose kernel and bias are means, each entry with a learned standard deviation beside it.

    The layer itself computes with the means, and holds no noise and no key: `with_noise` returns weights in which the
    noise of one draw is added to the means.

    Args:
      in_features, out_features: sizes of the last axis.
      activation: None for the identity.
      deviation: the initial standard deviations are `deviation / sqrt(in_features)`.
      dtype: of the computation; weights are float32.
      rngs: the streams to draw from.

    Source: Fortunato et al. 2018, sections 3.1 and 3.2, factorised: means are uniform within 1 / sqrt(in_features).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activation: Activation | None = None,
        *,
        deviation: float = 0.5,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        limit = 1.0 / math.sqrt(in_features)
        super().__init__(
            in_features,
            out_features,
            activation,
            kernel_init=symmetric_uniform(limit),
            bias_init=symmetric_uniform(limit),
            dtype=dtype,
            rngs=rngs,
        )
        self.kernel_deviation = nnx.Param(jnp.full((in_features, out_features), deviation * limit, jnp.float32))
        self.bias_deviation = nnx.Param(jnp.full(out_features, deviation * limit, jnp.float32))


def with_noise(weights: _Weights, key: jax.Array) -> _Weights:
    """Returns weights in which every noisy layer's kernel and bias carry one draw of noise; pure.

    The noise is factorised: with `f(x) = sign(x) sqrt(|x|)` of standard normal vectors `p` (inputs) and `q` (outputs),
    the kernel becomes `mean + deviation * f(p) f(q)^T` and the bias `mean + deviation * f(q)`. Gradients with respect
    to means and deviations pass through.

    Args:
      weights: any nest of `Weights` or params; what is no noisy layer stays as it is.
      key: consumed.
    """
    nodes, structure = jax.tree.flatten(weights, is_leaf=_is_noisy_layer)
    shapes = [node["kernel"].shape for node in nodes if _is_noisy_layer(node)]
    if not shapes:
        return weights
    normal = jax.random.normal(key, (sum(map(sum, shapes)),))
    noise, begin = jnp.sign(normal) * jnp.sqrt(jnp.abs(normal)), 0
    for index, node in enumerate(nodes):
        if _is_noisy_layer(node):
            inputs, outputs = node["kernel"].shape
            p, q = noise[begin : begin + inputs], noise[begin + inputs : begin + inputs + outputs]
            begin += inputs + outputs
            kernel = node["kernel"] + node[_DEVIATION] * p[:, None] * q
            nodes[index] = {**node, "kernel": kernel, "bias": node["bias"] + node["bias_deviation"] * q}
    return jax.tree.unflatten(structure, nodes)


def is_noisy(weights: Any) -> bool:
    """Returns whether some layer among these weights is noisy."""
    return any(map(_is_noisy_layer, jax.tree.leaves(weights, is_leaf=_is_noisy_layer)))


def _is_noisy_layer(node: Any) -> bool:
    return isinstance(node, dict) and _DEVIATION in node
