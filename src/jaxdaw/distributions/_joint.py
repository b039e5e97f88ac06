"""Joint: independent distributions over the leaves of a nest."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp


def _is_distribution(value: Any) -> bool:
    return hasattr(value, "log_prob")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Joint:
    """A nest of independent distributions.

    Attributes:
      parts: any pytree whose leaves are distributions of one batch shape.
    """

    parts: Any

    def _leaves(self) -> tuple[list[Any], Any]:
        return jax.tree.flatten(self.parts, is_leaf=_is_distribution)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The shape that all parts have in common."""
        return self._leaves()[0][0].batch_shape

    @property
    def event_shape(self) -> Any:
        """The nest of the parts' shapes."""
        leaves, structure = self._leaves()
        return structure.unflatten([leaf.event_shape for leaf in leaves])

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> Any:
        """Returns a nest of samples, each part with a key of its own."""
        leaves, structure = self._leaves()
        keys = jax.random.split(key, len(leaves))
        return structure.unflatten([leaf.sample(k, sample_shape) for leaf, k in zip(leaves, keys, strict=True)])

    def mode(self) -> Any:
        """Returns the nest of the parts' modes."""
        leaves, structure = self._leaves()
        return structure.unflatten([leaf.mode() for leaf in leaves])

    def log_prob(self, value: Any) -> jax.Array:
        """Returns the sum of the parts' log-probabilities of a nest of values, `[...]`."""
        leaves, structure = self._leaves()
        values = structure.flatten_up_to(value)
        return jnp.sum(jnp.stack([leaf.log_prob(v) for leaf, v in zip(leaves, values, strict=True)]), axis=0)

    def entropy(self) -> jax.Array:
        """Returns the sum of the parts' entropies, `[...]`."""
        return jnp.sum(jnp.stack([leaf.entropy() for leaf in self._leaves()[0]]), axis=0)
