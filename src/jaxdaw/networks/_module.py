"""Module: the name, name scope and submodules that networks, policies and agents have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import jax
from flax import nnx

_Method = TypeVar("_Method", bound=Callable[..., Any])


class Module:
    """Something with a name that may hold others of its kind.

    Args:
      name: defaults to the class name.
    """

    def __init__(self, name: str | None = None):
        self._name = type(self).__name__ if name is None else name

    @property
    def name(self) -> str:
        """The name given at construction, or the class name."""
        return self._name

    @property
    def name_scope(self) -> str:
        """The scope under which this module's operations are found in a profile or in HLO."""
        return self._name

    @staticmethod
    def with_name_scope(method: _Method) -> _Method:
        """Decorates a method so that what it computes carries the module's `name_scope` in profiles and in HLO."""

        @functools.wraps(method)
        def scoped(self: Module, *args: Any, **kwargs: Any) -> Any:
            with jax.named_scope(self.name_scope):
                return method(self, *args, **kwargs)

        return scoped  # type: ignore[return-value]  # wraps keeps the signature, which the type checker cannot see

    @property
    def submodules(self) -> tuple[Module, ...]:
        """All modules held by this one, directly or through others, each once, in the order of attachment."""
        return tuple(_modules_below(vars(self), {id(self)}))

    def _require_initialized(self) -> None:
        if "_name" not in vars(self):
            raise RuntimeError(
                f"{type(self).__name__} was used before its base constructor ran.\n"
                "  Fix: call super().__init__(...) in your __init__"
            )


def _modules_below(value: Any, seen: set[int]) -> Iterator[Module]:
    if isinstance(value, Module | nnx.Module):
        if id(value) in seen:
            return
        seen.add(id(value))
        if isinstance(value, Module):
            yield value
        value = vars(value)
    if isinstance(value, Mapping):
        children = value.values()
    elif isinstance(value, list | tuple | nnx.List):
        children = value
    else:
        return
    for child in children:
        yield from _modules_below(child, seen)
