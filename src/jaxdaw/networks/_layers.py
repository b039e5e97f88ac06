"""Initializers, the dense layer, and conversion of layers given by the user."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdaw.errors import ConfigError, explain
from jaxdaw.networks._foreign import ForeignNetwork, parameters_of
from jaxdaw.networks._network import Network

Initializer = Callable[..., jax.Array]
Activation = Callable[[jax.Array], jax.Array]
DropoutParam = float | Mapping[str, Any] | None

he_truncated_normal: Initializer = jax.nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")
"""Variance 2 / fan_in after truncation at two standard deviations. Source: He et al. 2015, eq. 10."""

glorot_uniform: Initializer = jax.nn.initializers.glorot_uniform()
"""Uniform within sqrt(6 / (fan_in + fan_out)). Source: Glorot & Bengio 2010, eq. 16."""

fan_in_uniform: Initializer = jax.nn.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform")
"""Uniform within sqrt(1 / fan_in). Source: Lillicrap et al. 2016, section 7."""


def symmetric_uniform(limit: float) -> Initializer:
    """Returns an initializer that draws uniformly from `[-limit, limit)`."""

    def initialize(key: jax.Array, shape: Any, dtype: Any = jnp.float32, out_sharding: Any = None) -> jax.Array:
        del out_sharding
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return initialize


class Dense(nnx.Linear):
    """`activation(x @ kernel + bias)`, then dropout.

    Args:
      in_features, out_features: sizes of the last axis.
      activation: None for the identity.
      kernel_init, bias_init: initializers; the bias is zero by default.
      dropout: the rate in `[0, 1)`, None for none, or `{"rate": rate, "permanent": True}` for dropout always.
      l2: the weight of `sum(kernel**2)` in the network's regularization loss.
      dtype: of the computation; weights are float32.
      rngs: the streams to draw from.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activation: Activation | None = None,
        *,
        kernel_init: Initializer = he_truncated_normal,
        bias_init: Initializer = jax.nn.initializers.zeros,
        dropout: DropoutParam = None,
        l2: float | None = None,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            in_features,
            out_features,
            kernel_init=kernel_init,
            bias_init=bias_init,
            kernel_metadata={"l2": float(l2)} if l2 else {},
            dtype=dtype,
            rngs=rngs,
        )
        self.activation = activation
        rate, self.permanent = _dropout_of(dropout)
        self.dropout = nnx.Dropout(rate, rngs=rngs) if rate else None

    def transform(self, x: jax.Array, training: bool = False) -> jax.Array:
        """Returns `[..., out_features]` for `[..., in_features]`."""
        x = self(x)
        if self.activation is not None:
            x = self.activation(x)
        if self.dropout is not None:
            x = self.dropout(x, deterministic=not (training or self.permanent))
        return x


def _dropout_of(dropout: DropoutParam) -> tuple[float, bool]:
    options = dropout if isinstance(dropout, Mapping) else {"rate": dropout or 0.0}
    rate = options.get("rate")
    if not isinstance(rate, int | float) or not 0.0 <= rate < 1.0 or set(options) - {"rate", "permanent"}:
        raise ConfigError(
            "bad dropout", expected="a rate in [0, 1) or {'rate': rate, 'permanent': bool}", got=repr(dropout)[:60]
        )
    return float(rate), bool(options.get("permanent", False))


def as_network(layer: Any, rngs: nnx.Rngs) -> Network:
    """Returns a layer as a Network.

    Args:
      layer: a Network, which is held, not copied; a factory, called with `rngs=` and recognised by a parameter of this
        name and no other without a default, `lambda rngs: nnx.Linear(4, 8, rngs=rngs)`, or by being a module class,
        `functools.partial(nnx.Linear, 4, 8)`; or a plain function without weights.
      rngs: what a factory is given.

    Raises:
      TypeError: not callable.
      ConfigError: an nnx module, which could not be made anew for a copy.
    """
    if isinstance(layer, Network):
        return layer
    if isinstance(layer, nnx.Module):
        raise ConfigError(
            f"a {type(layer).__name__} cannot be a layer: it does not remember how to make itself anew",
            expected="a factory, a Network or a function",
            got=type(layer).__name__,
            fix=f"lambda rngs: nnx.{type(layer).__name__}(..., rngs=rngs)",
        )
    if not callable(layer):
        raise TypeError(
            explain("a layer must be callable", expected="a Network, a factory or a function", got=repr(layer)[:60])
        )
    factory = (lambda rngs: layer(rngs=rngs)) if _is_factory(layer) else lambda rngs: layer
    return ForeignNetwork(factory, None, rngs=rngs)


def _is_factory(layer: Callable[..., Any]) -> bool:
    made = layer.func if isinstance(layer, functools.partial) else layer
    if isinstance(made, type) and issubclass(made, nnx.Module):
        return True
    parameters = parameters_of(layer)
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = {p.name for p in parameters.values() if p.default is p.empty and p.kind not in variadic}
    return "rngs" in parameters and required <= {"rngs"}
