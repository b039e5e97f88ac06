"""How a network was made: its constructor's arguments, remembered so that it can be made again."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx

from jaxdaw.errors import ConfigError


def as_rngs(rngs: nnx.Rngs | int) -> nnx.Rngs:
    """Returns the streams of random numbers that layers take; an integer is a seed."""
    return rngs if isinstance(rngs, nnx.Rngs) else nnx.Rngs(int(rngs))


def remembering(init: Callable[..., None]) -> Callable[..., None]:
    """Returns a constructor that keeps its arguments as `self._recipe`; of a chain of constructors, the outermost's."""
    signature = inspect.signature(init)
    without_self = signature.replace(parameters=list(signature.parameters.values())[1:])

    @functools.wraps(init)
    def remember(self: Any, *args: Any, **kwargs: Any) -> None:
        if "_recipe" not in vars(self):
            self._recipe = Recipe(self, without_self.bind(*args, **kwargs))
        init(self, *args, **kwargs)

    return remember


class Recipe:
    """What a network is made of besides its variables, and what was found out about it.

    nnx sees one opaque static object, whatever the constructor was given.
    """

    def __init__(self, owner: Any, arguments: inspect.BoundArguments):
        self.owner = owner
        self.input_tensor_spec: Any = None
        self.state_spec: Any = ()
        self.layout: Any = None
        self.output_spec: tuple[Any] | None = None
        self._arguments = arguments
        self._num_copies = 0

    @property
    def constructor_arguments(self) -> Mapping[str, Any]:
        """The arguments that the constructor was given, by name."""
        return self._arguments.arguments

    def rebuild(self, rngs: nnx.Rngs, overrides: Mapping[str, Any]) -> Any:
        """Runs the constructor again; networks among its arguments are made anew too, overrides are taken as they are.

        Raises:
          TypeError: an override that the constructor does not know.
          ConfigError: an nnx module among the arguments, which cannot be made anew.
        """
        parameters = self._arguments.signature.parameters
        extra = next((p.name for p in parameters.values() if p.kind is p.VAR_KEYWORD), None)
        arguments = {name: _afresh(value, rngs) for name, value in self._arguments.arguments.items() if name != "rngs"}
        takes_rngs = "rngs" in parameters or extra is not None
        for name, value in {**({"rngs": rngs} if takes_rngs else {}), **overrides}.items():
            if name in parameters:
                arguments[name] = value
            elif extra is not None:
                arguments[extra] = {**arguments.get(extra, {}), name: value}
            else:
                raise TypeError(f"{type(self.owner).__name__} has no constructor argument {name!r}")
        bound = copy.copy(self._arguments)
        bound.arguments = {name: arguments[name] for name in parameters if name in arguments}
        return type(self.owner)(*bound.args, **bound.kwargs)

    def next_stream(self) -> nnx.Rngs:
        """Returns a stream from which neither the original nor an earlier copy has drawn."""
        bound = copy.copy(self._arguments)
        bound.arguments = dict(bound.arguments)
        bound.apply_defaults()
        rngs = bound.arguments.get("rngs", 0)
        if isinstance(rngs, nnx.Rngs):
            return nnx.Rngs(rngs.params())
        self._num_copies += 1
        reserved = jax.random.fold_in(jax.random.key(rngs), 2**32 - 1)  # an index that counting draws never reaches
        return nnx.Rngs(jax.random.fold_in(reserved, self._num_copies))


def _afresh(value: Any, rngs: nnx.Rngs) -> Any:
    if isinstance(value, nnx.Module):
        recipe = vars(value).get("_recipe")
        if recipe is None:
            raise ConfigError(
                f"a {type(value).__name__} given to a constructor cannot be made anew",
                cause="an nnx module does not remember how it was made.",
                fix="pass Network.from_factory(lambda rngs: MyModule(..., rngs=rngs), input_tensor_spec)",
            )
        return recipe.rebuild(rngs, {})
    if isinstance(value, Mapping):
        return {key: _afresh(child, rngs) for key, child in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_afresh(child, rngs) for child in value))
    if isinstance(value, list | tuple):
        return type(value)(_afresh(child, rngs) for child in value)
    return value
