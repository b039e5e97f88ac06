"""Deterministic: one value in every row; and the base class of distributions over arrays."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from jaxdaw.distributions._base import STATIC, check_rows, register


class OverArrays:
    """Base class of distributions over arrays: the shapes of values `[..., *event]`."""

    event_ndims: int

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The axes in front of a value's own."""
        shape = jnp.shape(self.mode())
        return shape[: len(shape) - self.event_ndims]

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The axes of one value."""
        return jnp.shape(self.mode())[len(self.batch_shape) :]

    @property
    def _event_axes(self) -> tuple[int, ...]:
        return tuple(range(-self.event_ndims, 0))

    def mode(self) -> Shaped[Array, "*shape"]:
        """Returns a likeliest value, `[..., *event]`."""
        raise NotImplementedError(f"{type(self).__name__} must define mode")


@register
@dataclasses.dataclass(frozen=True, eq=False)
class Deterministic(OverArrays):
    """One value in every row.

    Attributes:
      value: `[..., *event]`.
      event_ndims: how many of the last axes belong to one value.
    """

    value: Any
    event_ndims: int = dataclasses.field(default=0, metadata=STATIC)

    def __post_init__(self) -> None:
        self.__dict__["value"] = jnp.asarray(self.value)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Shaped[Array, "*shape"]:
        """Returns the value, `sample_shape` times."""
        del key
        return jnp.broadcast_to(self.value, (*sample_shape, *self.value.shape))

    def mode(self) -> Shaped[Array, "*shape"]:
        """Returns the value."""
        return self.value

    def log_prob(self, value: Any) -> Float[Array, "*rows"]:
        """Returns 0 where `value` is the value in all its elements, -inf elsewhere, `[...]`.

        Raises:
          SpecError: another shape than the rows'.
        """
        check_rows("value", jnp.shape(value), self.value.shape)
        return jnp.where(jnp.all(value == self.value, axis=self._event_axes), 0.0, -jnp.inf)

    def entropy(self) -> Float[Array, "*rows"]:
        """Returns 0, `[...]`."""
        return jnp.zeros(self.batch_shape)
