"""Uniform: the uniform distribution between bounds."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from jaxdaw.distributions._base import STATIC, check_rows, register
from jaxdaw.distributions._deterministic import OverArrays


@register
@dataclasses.dataclass(frozen=True, eq=False)
class Uniform(OverArrays):
    """Uniform between bounds, both inclusive, element by element.

    Attributes:
      minimum, maximum: `[..., *event]`, finite; shapes that broadcast, dtypes that promote.
      event_ndims: how many of the last axes belong to one value.

    >>> Uniform(jnp.array([0, 0]), jnp.array([1, 3]), event_ndims=1).log_prob(jnp.array([1, 2]))  # -log(2 * 4)
    Array(-2.0794415, dtype=float32)
    """

    minimum: Any
    maximum: Any
    event_ndims: int = dataclasses.field(default=0, metadata=STATIC)

    def __post_init__(self) -> None:
        dtype = jnp.result_type(self.minimum, self.maximum)
        low, high = jnp.broadcast_arrays(jnp.asarray(self.minimum, dtype), jnp.asarray(self.maximum, dtype))
        self.__dict__.update(minimum=low, maximum=high)

    @property
    def _is_continuous(self) -> bool:
        return jnp.issubdtype(self.minimum.dtype, jnp.floating)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Shaped[Array, "*shape"]:
        """Returns `sample_shape + [..., *event]` values.

        A range of n integers is uniform up to a relative `n / 2**32`.
        """
        low, high, dtype = self.minimum, self.maximum, self.minimum.dtype
        shape = (*sample_shape, *low.shape)
        if self._is_continuous:
            weight = jax.random.uniform(key, shape, dtype)
            return jnp.clip((1.0 - weight) * low + weight * high, low, high)  # high - low might overflow
        # Unsigned arithmetic wraps: no range overflows, and a count of 0 is that of the whole range.
        word = jnp.uint64 if dtype.itemsize == 8 else jnp.uint32
        count = high.astype(word) - low.astype(word) + word(1)
        bits = jax.random.bits(key, shape, word)
        return (low.astype(word) + jnp.where(count == 0, bits, bits % jnp.maximum(count, 1))).astype(dtype)

    def mode(self) -> Shaped[Array, "*shape"]:
        """Returns the lower bound: every value is equally likely."""
        return self.minimum

    def log_prob(self, value: Any) -> Float[Array, "*rows"]:
        """Returns the log-probability or log-density, summed over the event axes, `[...]`; -inf outside the bounds.

        Raises:
          SpecError: another shape than the rows'.
        """
        check_rows("value", jnp.shape(value), self.minimum.shape)
        inside = jnp.all((value >= self.minimum) & (value <= self.maximum), axis=self._event_axes)
        return jnp.where(inside, -self.entropy(), -jnp.inf)

    def entropy(self) -> Float[Array, "*rows"]:
        """Returns the (differential) entropy in nats, summed over the event axes, `[...]`.

        That is the log of how many values there are, or of their volume.
        """
        low, high = (bound.astype(jnp.float32) / 2 for bound in (self.minimum, self.maximum))  # halves cannot overflow
        half = high - low if self._is_continuous else high - low + 0.5
        return jnp.sum(jnp.log(half) + jnp.log(2.0), axis=self._event_axes)
