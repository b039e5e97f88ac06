"""Adapter from any `flax.nnx` module to a Network."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from flax import nnx

from jaxdaw.networks._constructor_arguments import as_rngs
from jaxdaw.networks._network import Network


class ForeignNetwork(Network):
    """A Network around an nnx module; `Network.from_factory` returns it."""

    def __init__(
        self,
        factory: Callable[[nnx.Rngs], Any],
        input_tensor_spec: Any,
        state_spec: Any = (),
        name: str | None = None,
        *,
        rngs: nnx.Rngs | int = 0,
    ):
        module = factory(as_rngs(rngs))
        super().__init__(input_tensor_spec, state_spec, _name_of(module) if name is None else name)
        self.module = module
        self._accepted = frozenset(parameters_of(module))

    def call(
        self, observation: Any, step_type: Any, network_state: Any = (), training: bool = False
    ) -> tuple[Any, Any]:
        """Calls the module with what it names."""
        arguments = {"step_type": step_type, "network_state": network_state, "training": training}
        module = self.module
        if isinstance(module, nnx.Module) and "training" not in self._accepted:
            # A view shares the variables, so dropout keys and batch statistics move in the original.
            mode = {"deterministic": not training, "use_running_average": not training}
            module = nnx.view(module, **mode, raise_if_not_found=False)
        result = module(observation, **{name: value for name, value in arguments.items() if name in self._accepted})
        if isinstance(module, Network) and self.state_spec == ():  # one of ours, which returns a pair
            result, _ = result
        return (result, ()) if self.state_spec == () else result


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Returns a callable's parameters by name; none for callables written in C that have no signature."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def _name_of(module: Any) -> str:
    return type(module).__name__ if isinstance(module, nnx.Module) else getattr(module, "__name__", "function")
