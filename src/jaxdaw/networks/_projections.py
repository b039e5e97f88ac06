"""Projections: from features to a distribution over one leaf of the action spec."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdaw import specs
from jaxdaw.distributions import Categorical, Independent, Normal, TanhNormal
from jaxdaw.errors import SpecError
from jaxdaw.networks._layers import Activation, Dense, Initializer, glorot_uniform

Projection = Callable[..., Any]
"""`(num_features, spec, rngs=...)` makes a module from features `[..., n]` to a distribution."""


def _scaled(factor: float) -> Any:
    return jax.nn.initializers.variance_scaling(factor, "fan_in", "truncated_normal")


def tanh_squash_to_spec(x: jax.Array, spec: specs.BoundedTensorSpec) -> jax.Array:
    """Returns `x` within the bounds: `(maximum + minimum) / 2 + (maximum - minimum) / 2 * tanh(x)`."""
    middle, half = (spec.maximum + spec.minimum) / 2, (spec.maximum - spec.minimum) / 2
    return jnp.asarray(middle, x.dtype) + half.astype(x.dtype) * jnp.tanh(x)


def std_clip_transform(x: jax.Array) -> jax.Array:
    """Returns `exp(clip(x, -20, 2))`, standard deviations from 2e-9 to 7.4; the `std_transform` of SAC in TF-Agents."""
    return jnp.exp(jnp.clip(x, -20.0, 2.0))


class CategoricalProjection(nnx.Module):
    """Logits for every element of an integer action: `Categorical`, or `Independent` of them for a shaped action.

    Args:
      num_features: n.
      spec: a bounded integer spec whose elements all have the same bounds.
      logits_init_output_factor: scale of the variance of the fresh kernel.
      kernel_initializer: draws the fresh kernel instead.
      rngs: the streams to draw from.

    Raises:
      SpecError: no bounds, or bounds that differ between elements.
    """

    def __init__(
        self,
        num_features: int,
        spec: Any,
        logits_init_output_factor: float = 0.1,
        kernel_initializer: Initializer | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        bounded = isinstance(spec, specs.BoundedTensorSpec) and specs.is_discrete(spec)
        if not bounded or np.ptp(spec.minimum) or np.ptp(spec.maximum):
            raise SpecError(
                "a categorical projection needs one range of integers",
                expected="BoundedTensorSpec(shape, int32, minimum, maximum) with the same bounds for all elements",
                got=str(spec),
                fix="a dictionary of actions, one for each range",
            )
        self.spec = spec
        self.minimum = int(np.min(spec.minimum))
        self.num_actions = int(np.max(spec.maximum)) - self.minimum + 1
        self.logits = Dense(
            num_features,
            math.prod(spec.shape) * self.num_actions,
            kernel_init=_scaled(logits_init_output_factor) if kernel_initializer is None else kernel_initializer,
            rngs=rngs,
        )

    def __call__(self, features: jax.Array) -> Categorical | Independent:
        """Returns the distribution of actions `[..., *shape]` for features `[..., n]`."""
        logits = self.logits.transform(features).reshape(*features.shape[:-1], *self.spec.shape, self.num_actions)
        each = Categorical(logits, minimum=self.minimum, dtype=np.dtype(self.spec.dtype))
        return Independent(each, len(self.spec.shape)) if self.spec.shape else each


class NormalProjection(nnx.Module):
    """Means by a dense layer, standard deviations by a trainable vector or by a dense layer of their own.

    Args:
      num_features: n.
      spec: a float spec; with finite bounds where something is squashed to them.
      activation_fn: of the dense layers.
      init_means_output_factor: scale of the variance of the fresh kernel of the means.
      std_bias_initializer_value: where the raw standard deviations start; the default makes them 0.35.
      mean_transform: `(x, spec) -> means`; None leaves them as they are.
      std_transform: `x -> standard deviations`, above 0.
      state_dependent_std: whether they depend on the features.
      scale_distribution: whether the samples, instead of the means, are squashed to the bounds (a `TanhNormal`).
      kernel_initializer: draws the fresh kernel of the means instead.
      rngs: the streams to draw from.

    Raises:
      SpecError: not a float spec, or bounds needed and missing.
    """

    def __init__(
        self,
        num_features: int,
        spec: Any,
        activation_fn: Activation | None = None,
        init_means_output_factor: float = 0.1,
        std_bias_initializer_value: float = math.log(math.expm1(0.35)),
        mean_transform: Callable[[jax.Array, Any], jax.Array] | None = tanh_squash_to_spec,
        std_transform: Activation = jax.nn.softplus,
        state_dependent_std: bool = False,
        scale_distribution: bool = False,
        kernel_initializer: Initializer | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        squashes = scale_distribution or mean_transform is tanh_squash_to_spec
        _require_float(spec, bounded=squashes)
        self.spec = spec
        self.mean_transform = mean_transform
        self.std_transform = std_transform
        self.scale_distribution = scale_distribution
        size = math.prod(spec.shape)
        scaled = _scaled(init_means_output_factor)
        init = scaled if kernel_initializer is None else kernel_initializer
        self.means = Dense(num_features, size, activation_fn, kernel_init=init, rngs=rngs)
        if state_dependent_std:
            self.std = Dense(
                num_features,
                size,
                activation_fn,
                kernel_init=scaled,
                bias_init=jax.nn.initializers.constant(std_bias_initializer_value),
                rngs=rngs,
            )
        else:
            self.std_bias = nnx.Param(jnp.full((size,), std_bias_initializer_value, jnp.float32))

    def __call__(self, features: jax.Array) -> Normal | TanhNormal:
        """Returns the distribution of actions `[..., *shape]` for features `[..., n]`."""
        shape = (*features.shape[:-1], *self.spec.shape)
        means = self.means.transform(features).reshape(shape)
        raw = self.std.transform(features).reshape(shape) if hasattr(self, "std") else self.std_bias[...]
        deviations = self.std_transform(raw if hasattr(self, "std") else raw.reshape(self.spec.shape))
        if self.scale_distribution:
            return TanhNormal(means, deviations, self.spec.minimum, self.spec.maximum, len(self.spec.shape))
        if self.mean_transform is not None:
            means = self.mean_transform(means, self.spec)
        return Normal(means, deviations, len(self.spec.shape))


class TanhNormalProjection(nnx.Module):
    """Means and standard deviations by one dense layer; samples are squashed to the bounds.

    Args:
      num_features: n.
      spec: a float spec with finite bounds.
      activation_fn: of the dense layer.
      std_transform: `x -> standard deviations`, above 0.
      rngs: the streams to draw from.

    Raises:
      SpecError: not a float spec, or no bounds.

    Source: Haarnoja et al. 2018.
    """

    def __init__(
        self,
        num_features: int,
        spec: Any,
        activation_fn: Activation | None = None,
        std_transform: Activation = jnp.exp,
        *,
        rngs: nnx.Rngs,
    ):
        _require_float(spec, bounded=True)
        self.spec = spec
        self.std_transform = std_transform
        units = 2 * math.prod(spec.shape)
        self.projection = Dense(num_features, units, activation_fn, kernel_init=glorot_uniform, rngs=rngs)

    def __call__(self, features: jax.Array) -> TanhNormal:
        """Returns the distribution of actions `[..., *shape]` for features `[..., n]`."""
        means, raw = jnp.split(self.projection.transform(features), 2, axis=-1)
        shape = (*features.shape[:-1], *self.spec.shape)
        means, deviations = means.reshape(shape), self.std_transform(raw).reshape(shape)
        return TanhNormal(means, deviations, self.spec.minimum, self.spec.maximum, len(self.spec.shape))


def _require_float(spec: Any, bounded: bool) -> None:
    finite = (
        isinstance(spec, specs.BoundedTensorSpec) and np.isfinite([np.min(spec.minimum), np.max(spec.maximum)]).all()
    )
    if not isinstance(spec, specs.TensorSpec) or not specs.is_continuous(spec) or (bounded and not finite):
        raise SpecError(
            "a normal projection needs a float action" + (" with finite bounds" if bounded else ""),
            expected="BoundedTensorSpec(shape, float32, minimum, maximum)",
            got=str(spec),
            fix="mean_transform=None leaves the means as they are, for actions without bounds" if bounded else None,
        )
