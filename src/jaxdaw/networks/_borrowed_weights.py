"""Lend a network other weights for a while, for functions that call the network object itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
from flax import nnx

from jaxdaw.networks._network import Network
from jaxdaw.networks._weights import Weights

_FIELDS = ("_raw_value", "_trace_state")


@contextlib.contextmanager
def holding(network: Network, weights: Weights) -> Iterator[None]:
    """Gives a network these weights within the block, and its own back afterwards.

    Inside a traced function the weights may be tracers: what the block computes by calling the network is then
    differentiated with respect to them, and what it changes, dropout's counters say, is found by `get_weights`.

    Args:
      network: any.
      weights: of the network's structure.
    """
    variables = network.stored_variables()
    leaves = [leaf for part in weights for leaf in jax.tree.leaves(part)]
    before = [[getattr(variable, field) for field in _FIELDS] for variable in variables]
    trace = nnx.Param(0)._trace_state  # nnx lets a variable change only under the trace that made it
    try:
        for variable, leaf in zip(variables, leaves, strict=True):
            _set(variable, (leaf, trace))
        yield
    finally:
        for variable, values in zip(variables, before, strict=True):
            _set(variable, values)


def _set(variable: nnx.Variable[Any], values: Sequence[Any]) -> None:
    for field, value in zip(_FIELDS, values, strict=True):
        object.__setattr__(variable, field, value)
