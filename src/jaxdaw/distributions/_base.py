"""What every distribution is: a pytree that is checked when it is made, and strict about rows."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import jax

from jaxdaw.errors import SpecError

T = TypeVar("T")
STATIC = {"static": True}
"""Metadata of a dataclass field that belongs to the structure of the pytree, not to its leaves."""


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
