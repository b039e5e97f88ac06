"""Module: base class of networks, policies and agents: name, submodules, constructor arguments, copies."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, TypeVar

import jax
from flax import nnx

from jaxdaw.errors import explain
from jaxdaw.networks._constructor_arguments import ConstructorArguments, construct, remembering

_Method = TypeVar("_Method", bound=Callable[..., Any])


class Module:
    """Something with a name that may hold others of its kind.

    The arguments of a subclass's constructor are remembered. `copy.deepcopy` calls the constructor again with copies of
    them, so the copy has weights of its own; `pickle` is refused, because loading a pickle runs code.

    Args:
      name: defaults to the class name.

    Attributes:
      changing_attributes: the names of what a copy takes over beside the constructor's arguments, because it changes
        after construction; None for a class that cannot be copied.
    """

    changing_attributes: tuple[str, ...] | None = None
    _constructor_arguments: ConstructorArguments
    _how_to_save = "jaxdaw.training.save_policy(agent.policy, directory)"

    def __init__(self, name: str | None = None):
        self._name = type(self).__name__ if name is None else name

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            type.__setattr__(cls, "__init__", remembering(vars(cls)["__init__"]))

    @property
    def name(self) -> str:
        """The name given at construction, or the class name."""
        return self._name

    @property
    def name_scope(self) -> str:
        """The scope under which this module's operations are found in a profile or in HLO."""
        return self._name

    def constructor_arguments(self, defaults: bool = False) -> dict[str, Any]:
        """Returns the arguments that the constructor was given, by name.

        Args:
          defaults: whether those that were not given are included, with their defaults.
        """
        arguments = self._constructor_arguments
        return arguments.with_defaults() if defaults else arguments.given()

    @classmethod
    def from_constructor_arguments(cls, arguments: Mapping[str, Any]) -> Self:
        """Returns a new object from arguments as `constructor_arguments` gives them.

        Raises:
          TypeError: an argument that the constructor does not have.
        """
        return construct(cls, arguments)

    def __copy__(self) -> Self:
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        if self.changing_attributes is None:
            raise TypeError(f"a {type(self).__name__} cannot be copied: its class does not list changing_attributes")
        twin = self.from_constructor_arguments(copy.deepcopy(self.constructor_arguments(), memo))
        memo[id(self)] = twin
        for name in self.changing_attributes:
            setattr(twin, name, copy.deepcopy(getattr(self, name), memo))
        return twin

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            explain(
                f"a {type(self).__name__} cannot be pickled",
                cause="pickle, or a process pool that sends its arguments by pickle; loading a pickle runs code.",
                fix=self._how_to_save,
            )
        )

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
