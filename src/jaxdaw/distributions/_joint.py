"""Joint: independent distributions over the leaves of a nest."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxdaw.distributions._base import Distribution, is_distribution, register
from jaxdaw.errors import SpecError


@register
@dataclasses.dataclass(frozen=True, eq=False)
class Joint:
    """A nest of independent distributions.

    Attributes:
      parts: any pytree whose leaves are distributions of one batch shape.

    Raises:
      SpecError: the parts have several batch shapes; nothing is broadcast.

    >>> from jaxdaw.distributions import Uniform
    >>> Joint({"gear": Uniform(0, 3), "gas": Uniform(0.0, 2.0)}).log_prob({"gear": 1, "gas": 0.5})  # -log(4 * 2)
    Array(-2.0794415, dtype=float32)
    """

    parts: Any

    def __post_init__(self) -> None:
        shapes = {leaf.batch_shape for leaf in self._leaves()[0]}
        if len(shapes) > 1:
            raise SpecError(
                "the parts of a Joint must have one batch shape",
                expected="one",
                got=", ".join(map(str, sorted(shapes))),
                cause="axes of one value taken for rows.",
                fix="Uniform(minimum, maximum, event_ndims=1)",
            )

    def _leaves(self) -> tuple[list[Distribution], Any]:
        return jax.tree.flatten(self.parts, is_leaf=is_distribution)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The shape that all parts have in common; `()` without parts."""
        return next((leaf.batch_shape for leaf in self._leaves()[0]), ())

    @property
    def event_shape(self) -> Any:
        """The nest of the parts' shapes."""
        leaves, structure = self._leaves()
        return structure.unflatten([leaf.event_shape for leaf in leaves])

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Any:
        """Returns a nest of samples, each part with a key of its own."""
        leaves, structure = self._leaves()
        keys = jax.random.split(key, len(leaves))
        return structure.unflatten([leaf.sample(k, sample_shape) for leaf, k in zip(leaves, keys, strict=True)])

    def sample_and_log_prob(
        self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()
    ) -> tuple[Any, Float[Array, "*rows"]]:
        """Returns the nest that `sample` returns, and its log-probability, `sample_shape + [...]`.

        A part that has `sample_and_log_prob` scores its own draw, which may be more exact than scoring the value.
        """
        leaves, structure = self._leaves()
        drawn: list[tuple[Any, Any]] = []
        for leaf, part_key in zip(leaves, jax.random.split(key, len(leaves)), strict=True):
            if hasattr(leaf, "sample_and_log_prob"):
                drawn.append(leaf.sample_and_log_prob(part_key, sample_shape))  # pyright: ignore[reportAttributeAccessIssue]
            else:
                value = leaf.sample(part_key, sample_shape)
                drawn.append((value, leaf.log_prob(value)))
        total = sum((log_prob for _, log_prob in drawn), jnp.zeros((*sample_shape, *self.batch_shape)))
        return structure.unflatten([value for value, _ in drawn]), total

    def mode(self) -> Any:
        """Returns the nest of the parts' modes."""
        leaves, structure = self._leaves()
        return structure.unflatten([leaf.mode() for leaf in leaves])

    def log_prob(self, value: Any) -> Float[Array, "*rows"]:
        """Returns the sum of the parts' log-probabilities of a nest of values, `[...]`.

        Raises:
          ValueError: another structure than the parts'.
          SpecError: another shape than a part's.
        """
        leaves, structure = self._leaves()
        values = structure.flatten_up_to(value)
        return sum((leaf.log_prob(v) for leaf, v in zip(leaves, values, strict=True)), jnp.zeros(self.batch_shape))

    def entropy(self) -> Float[Array, "*rows"]:
        """Returns the sum of the parts' entropies, `[...]`."""
        return sum((leaf.entropy() for leaf in self._leaves()[0]), jnp.zeros(self.batch_shape))
