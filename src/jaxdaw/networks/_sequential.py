"""Sequential: layers one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flax import nnx

from jaxdaw.errors import ConfigError
from jaxdaw.networks._constructor_arguments import as_rngs
from jaxdaw.networks._layers import as_network
from jaxdaw.networks._network import Network


class Sequential(Network):
    """Layers one after the other, each given the output of the one before.

    `copy` draws new weights for every layer, `clone` keeps them. Layers see all outer axes, `[B, ...]` or
    `[B, T, ...]`.

    Args:
      layers: Networks (held, not copied), factories `lambda rngs: nnx.Linear(4, 8, rngs=rngs)`, or plain functions.
      input_tensor_spec: the spec of the observation; None takes the first layer's.
      name: defaults to the class name.
      rngs: streams of random numbers for the factories, or a seed.

    `state_spec` is a tuple with one entry for each layer that has memory; `()` if none has.

    Raises:
      ConfigError: no layers, or an nnx module, which could not be made anew.
      TypeError: something that is not callable.
    """

    def __init__(
        self, layers: Sequence[Any], input_tensor_spec: Any = None, name: str | None = None, *, rngs: nnx.Rngs | int = 0
    ):
        if not layers:
            raise ConfigError("Sequential needs at least one layer", expected="a list of layers", got="none")
        rngs = as_rngs(rngs)
        networks = [as_network(layer, rngs) for layer in layers]
        spec = networks[0].input_tensor_spec if input_tensor_spec is None else input_tensor_spec
        super().__init__(spec, tuple(layer.state_spec for layer in networks if layer.state_spec != ()), name)
        self.layer = nnx.List(networks)

    def call(
        self, observation: Any, step_type: Any, network_state: Any = (), training: bool = False
    ) -> tuple[Any, tuple[Any, ...]]:
        """Returns the last layer's output and the next states of the layers that have memory."""
        x, states, next_states = observation, iter(network_state), []
        for layer in self.layer:
            remembers = layer.state_spec != ()
            x, state = layer(x, step_type, next(states) if remembers else (), training)
            if remembers:
                next_states.append(state)
        return x, tuple(next_states)
