"""Deterministic and Uniform."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Deterministic:
    """One value in every row.

    Attributes:
      value: `[..., *event]`.
      event_ndims: how many of the last axes belong to one value.
    """

    value: Any
    event_ndims: int = dataclasses.field(default=0, metadata={"static": True})

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The axes in front of a value's own."""
        return jnp.shape(self.value)[: jnp.ndim(self.value) - self.event_ndims]

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The axes of one value."""
        return jnp.shape(self.value)[jnp.ndim(self.value) - self.event_ndims :]

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Returns the value, `sample_shape` times."""
        del key
        return jnp.broadcast_to(self.value, (*sample_shape, *jnp.shape(self.value)))

    def mode(self) -> jax.Array:
        """Returns the value."""
        return jnp.asarray(self.value)

    def log_prob(self, value: Any) -> jax.Array:
        """Returns 0 where `value` is the value, -inf elsewhere, `[...]`."""
        axes = tuple(range(-self.event_ndims, 0))
        return jnp.where(jnp.all(value == jnp.asarray(self.value), axis=axes), 0.0, -jnp.inf)

    def entropy(self) -> jax.Array:
        """Returns 0, `[...]`."""
        return jnp.zeros(self.batch_shape)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Uniform:
    """Uniform between bounds, element by element: both inclusive for integers, `[minimum, maximum)` for floats.

    Attributes:
      minimum, maximum: `[..., *event]` of one dtype and shape, finite.
      event_ndims: how many of the last axes belong to one value.

    >>> Uniform(jnp.array([0, 0]), jnp.array([1, 3]), event_ndims=1).log_prob(jnp.array([1, 2]))  # -log(2 * 4)
    Array(-2.0794415, dtype=float32)
    """

    minimum: Any
    maximum: Any
    event_ndims: int = dataclasses.field(default=0, metadata={"static": True})

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The axes in front of a value's own."""
        return jnp.shape(self.minimum)[: jnp.ndim(self.minimum) - self.event_ndims]

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The axes of one value."""
        return jnp.shape(self.minimum)[jnp.ndim(self.minimum) - self.event_ndims :]

    @property
    def _is_integer(self) -> bool:
        return jnp.issubdtype(jnp.result_type(self.minimum), jnp.integer)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Returns `sample_shape + [..., *event]` values."""
        low, high = jnp.asarray(self.minimum), jnp.asarray(self.maximum)
        shape = (*sample_shape, *low.shape)
        if not self._is_integer:
            return low + jax.random.uniform(key, shape, low.dtype) * (high - low)
        # In uint32 the span of the whole int32 range fits, and its wrap to 0 stands for 2**32.
        span = (high.astype(jnp.uint32) - low.astype(jnp.uint32)) + jnp.uint32(1)
        bits = jax.random.bits(key, shape, jnp.uint32)
        offset = jnp.where(span == 0, bits, bits % jnp.maximum(span, 1))
        return (low.astype(jnp.uint32) + offset).astype(low.dtype)

    def mode(self) -> jax.Array:
        """Returns the lower bound: every value is equally likely."""
        return jnp.asarray(self.minimum)

    def _log_sizes(self) -> jax.Array:
        size = jnp.asarray(self.maximum, jnp.float32) - jnp.asarray(self.minimum, jnp.float32)
        return jnp.log(size + 1.0 if self._is_integer else size)

    def log_prob(self, value: Any) -> jax.Array:
        """Returns the log-probability or log-density, summed over the event axes, `[...]`; -inf outside the bounds."""
        axes = tuple(range(-self.event_ndims, 0))
        inside = jnp.all((value >= self.minimum) & (value <= self.maximum), axis=axes)
        return jnp.where(inside, -jnp.sum(self._log_sizes(), axis=axes), -jnp.inf)

    def entropy(self) -> jax.Array:
        """Returns the (differential) entropy in nats, summed over the event axes, `[...]`."""
        return jnp.sum(self._log_sizes(), axis=tuple(range(-self.event_ndims, 0)))
