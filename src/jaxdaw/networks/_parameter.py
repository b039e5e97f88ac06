"""Parameter: a trainable array that belongs to no layer."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import nnx

from jaxdaw.networks._network import Network


class Parameter(Network):
    """A trainable array of an agent, such as the logarithm of SAC's temperature, among its networks.

    An agent finds the array at `params[name]["value"]`. Called, it returns the array whatever is observed.

    Args:
      initial_value: a number or an array, with which every seed begins.
      name: defaults to the class name.
      rngs: not drawn from.

    >>> Parameter(0.5).get_weights().params
    {'value': Array(0.5, dtype=float32)}
    """

    def __init__(self, initial_value: Any, name: str | None = None, *, rngs: nnx.Rngs | int = 0):
        del rngs
        super().__init__(None, (), name)
        self.value = nnx.Param(jnp.asarray(initial_value, jnp.float32))

    def call(self, observation: Any) -> tuple[Any, Any]:
        """Returns the array."""
        del observation
        return self.value[...], ()
