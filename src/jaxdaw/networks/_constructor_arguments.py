"""The arguments that a network, policy or agent was constructed with, remembered so that it can be made again."""

from __future__ import annotations

import copy
import functools
import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx

from jaxdaw.errors import ConfigError


def as_rngs(rngs: nnx.Rngs | int) -> nnx.Rngs:
    """Returns the streams of random numbers that layers take; an integer is a seed."""
    return rngs if isinstance(rngs, nnx.Rngs) else nnx.Rngs(int(rngs))


def remembering(init: Callable[..., None]) -> Callable[..., None]:
    """Decorates `__init__` so that it keeps its arguments as `self._constructor_arguments`.

    When one constructor calls another by `super().__init__`, the arguments of the outermost are kept.
    """
    signature = signature_of(init)

    @functools.wraps(init)
    def remember(self: Any, *args: Any, **kwargs: Any) -> None:
        if "_constructor_arguments" not in vars(self):
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError:
                init(self, *args, **kwargs)  # Python's own message names the constructor
                raise
            self._constructor_arguments = ConstructorArguments(type(self), bound)
        init(self, *args, **kwargs)

    return remember


def construct(cls: Any, arguments: Mapping[str, Any]) -> Any:
    """Calls a constructor with its arguments by name; those of `*args` and `**kwargs` are a tuple and a dictionary.

    Raises:
      TypeError: an argument that the constructor does not have.
    """
    signature = signature_of(cls.__init__)
    unknown = sorted(arguments.keys() - signature.parameters.keys())
    if unknown:  # BoundArguments would pass over it
        raise TypeError(f"it has no argument {unknown[0]!r}")
    bound = inspect.BoundArguments(signature, OrderedDict(arguments))
    return cls(*bound.args, **bound.kwargs)


def signature_of(init: Callable[..., None]) -> inspect.Signature:
    """Returns the signature of an `__init__` without `self`; that of an nnx class is its metaclass's."""
    signature = inspect.signature(init)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


class ConstructorArguments:
    """The arguments of one constructor call. To nnx it is one opaque static object."""

    def __init__(self, owner: type, bound: inspect.BoundArguments):
        self._owner = owner
        self._bound = bound
        self._num_copies = 0

    def given(self) -> dict[str, Any]:
        """Returns the arguments that were given, by name."""
        return dict(self._bound.arguments)

    def with_defaults(self) -> dict[str, Any]:
        """Returns all arguments by name, those that were not given with their defaults."""
        bound = copy.copy(self._bound)
        bound.arguments = dict(bound.arguments)
        bound.apply_defaults()
        return dict(bound.arguments)

    def rebuild(self, rngs: nnx.Rngs, overrides: Mapping[str, Any]) -> Any:
        """Runs a network's constructor again. Networks among its arguments are made anew; overrides are taken as given.

        Raises:
          TypeError: an override that the constructor does not know.
          ConfigError: an nnx module among the arguments, which cannot be made anew.
        """
        parameters = self._bound.signature.parameters
        extra = next((p.name for p in parameters.values() if p.kind is p.VAR_KEYWORD), None)
        arguments = {name: _afresh(value, rngs) for name, value in self._bound.arguments.items() if name != "rngs"}
        takes_rngs = "rngs" in parameters or extra is not None
        for name, value in {**({"rngs": rngs} if takes_rngs else {}), **overrides}.items():
            if name in parameters:
                arguments[name] = value
            elif extra is not None:
                arguments[extra] = {**arguments.get(extra, {}), name: value}
            else:
                raise TypeError(f"{self._owner.__name__} has no constructor argument {name!r}")
        return construct(self._owner, arguments)

    def next_stream(self) -> nnx.Rngs:
        """Returns a stream from which neither the original nor an earlier copy has drawn."""
        rngs = self.with_defaults().get("rngs", 0)
        if isinstance(rngs, nnx.Rngs):
            return nnx.Rngs(rngs.params())
        self._num_copies += 1
        reserved = jax.random.fold_in(jax.random.key(rngs), 2**32 - 1)  # an index that counting draws never reaches
        return nnx.Rngs(jax.random.fold_in(reserved, self._num_copies))


def _afresh(value: Any, rngs: nnx.Rngs) -> Any:
    if isinstance(value, nnx.Module):
        arguments = vars(value).get("_constructor_arguments")
        if arguments is None:
            raise ConfigError(
                f"a {type(value).__name__} given to a constructor cannot be made anew",
                cause="an nnx module does not remember how it was made.",
                fix="pass Network.from_factory(lambda rngs: MyModule(..., rngs=rngs), input_tensor_spec)",
            )
        return arguments.rebuild(rngs, {})
    if isinstance(value, Mapping):
        return {key: _afresh(child, rngs) for key, child in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_afresh(child, rngs) for child in value))
    if isinstance(value, list | tuple):
        return type(value)(_afresh(child, rngs) for child in value)
    return value
