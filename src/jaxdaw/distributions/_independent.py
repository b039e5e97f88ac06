"""Independent: batch axes of a distribution taken as axes of one value."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from jaxdaw.distributions._base import STATIC, register


@register
@dataclasses.dataclass(frozen=True, eq=False)
class Independent:
    """Takes the last batch axes of a distribution for axes of one value.

    Attributes:
      distribution: one draw for each element, such as a `Categorical` with logits `[..., *event, A]`.
      event_ndims: how many of its last batch axes belong to one value.

    >>> from jaxdaw.distributions import Categorical
    >>> Independent(Categorical(jnp.zeros((5, 2, 3))), event_ndims=1).log_prob(jnp.zeros((5, 2), int)).shape
    (5,)
    """

    distribution: Any
    event_ndims: int = dataclasses.field(default=1, metadata=STATIC)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The axes in front of a value's own."""
        shape = self.distribution.batch_shape
        return shape[: len(shape) - self.event_ndims]

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The axes of one value."""
        return self.distribution.batch_shape[len(self.batch_shape) :]

    def _sum(self, x: Float[Array, "*shape"]) -> Float[Array, "*rows"]:
        return jnp.sum(x, axis=tuple(range(-self.event_ndims, 0)))

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Shaped[Array, "*shape"]:
        """Returns `sample_shape + [..., *event]` values."""
        return self.distribution.sample(key, sample_shape)

    def mode(self) -> Shaped[Array, "*shape"]:
        """Returns each element's mode, `[..., *event]`."""
        return self.distribution.mode()

    def log_prob(self, value: Any) -> Float[Array, "*rows"]:
        """Returns the log-probability, summed over the event axes, `[...]`."""
        return self._sum(self.distribution.log_prob(value))

    def entropy(self) -> Float[Array, "*rows"]:
        """Returns the entropy in nats, summed over the event axes, `[...]`."""
        return self._sum(self.distribution.entropy())
