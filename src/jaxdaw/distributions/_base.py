"""The Distribution protocol, and what all distributions share: registration as a pytree, checks of shapes."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from jaxdaw.errors import SpecError

T = TypeVar("T")
STATIC = {"static": True}
"""Metadata of a dataclass field that belongs to the structure of the pytree, not to its leaves."""


@runtime_checkable
class Distribution(Protocol):
    """One distribution in each row of a batch; a pytree, so it goes into and out of compiled functions.

    Rows are the axes `batch_shape`; a value has `event_shape` behind them. Any class with these members can be returned
    by a network of `ActorPolicy`.
    """

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The axes in front of a value's own."""
        ...

    @property
    def event_shape(self) -> Any:
        """The axes of one value; of a distribution over a nest, a nest of them."""
        ...

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Any:
        """Returns values `[*sample_shape, *batch_shape, *event_shape]`."""
        ...

    def mode(self) -> Any:
        """Returns a likeliest value in each row."""
        ...

    def log_prob(self, value: Any) -> Float[Array, "*rows"]:
        """Returns the log-probability of a value, or its log-density, in each row."""
        ...

    def entropy(self) -> Float[Array, "*rows"]:
        """Returns the entropy in nats, in each row."""
        ...


def is_distribution(value: Any) -> bool:
    """Returns whether a leaf, of a network's output for example, is a distribution."""
    return hasattr(value, "log_prob")


def register(cls: type[T]) -> type[T]:
    """Registers a dataclass as a pytree that JAX puts together again without running its constructor.

    JAX also fills such objects with shapes, axes and placeholders, which a constructor that checks and broadcasts
    (as `jax.tree_util.register_dataclass` would run it) could not take.
    """
    fields = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]: only dataclasses come here
    leaves = [field.name for field in fields if field.metadata != STATIC]
    statics = [field.name for field in fields if field.metadata == STATIC]

    def flatten(value: Any) -> Any:
        children = [(jax.tree_util.GetAttrKey(name), getattr(value, name)) for name in leaves]
        return children, tuple(getattr(value, name) for name in statics)

    def unflatten(structure: Any, children: Any) -> Any:
        value = object.__new__(cls)
        value.__dict__.update(zip([*leaves, *statics], [*children, *structure], strict=True))
        return value

    jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)
    return cls


def check_rows(what: str, shape: tuple[int, ...], rows: tuple[int, ...]) -> None:
    """Checks that an array has one entry for every row, whatever its leading axes.

    Raises:
      SpecError: `shape` does not end with `rows`; nothing is broadcast.
    """
    if shape[len(shape) - len(rows) :] != rows:
        raise SpecError(
            f"{what} does not fit the rows of the distribution",
            expected=f"[..., {', '.join(map(str, rows))}]",
            got=str(shape),
            cause="a trailing axis of size 1, or a single number; it would meet every row.",
            fix=f"x.reshape({rows}), or jnp.full({rows}, x)",
        )
