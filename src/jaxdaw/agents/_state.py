"""What training changes, what an algorithm says of a batch, and the counter that agents may share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np


class AgentState(NamedTuple):
    """Everything that training changes, as one pytree of raw arrays; the state that `update` maps to the next.

    Attributes:
      params: trainable arrays, one nested dict for each network's name.
      rest: the networks' other arrays (batch statistics, dropout counters), the same keys.
      target: what the algorithm keeps beside them: target networks; `()` if nothing.
      opt_state: the optimizer's.
      train_step: `[]` int32, updates applied.
      summaries: the latest summaries by tag; empty unless asked for.
    """

    params: dict[str, Any]
    rest: dict[str, Any]
    target: Any
    opt_state: Any
    train_step: Any
    summaries: dict[str, Any]


class BatchLoss(NamedTuple):
    """What an algorithm says of one batch.

    Attributes:
      per_example: `[B]` or `[B, T]` float32, unweighted, 0 for rows that teach nothing.
      extra: the algorithm's record of per-example values.
      rest: the networks' other arrays after the forward passes.
      debug: `{tag: array}`, summarised when `debug_summaries` is on.
      unweighted: what is added to each example's loss after it was weighted; a number, or the shape of `per_example`.
    """

    per_example: jax.Array
    extra: Any
    rest: dict[str, Any]
    debug: dict[str, jax.Array]
    unweighted: Any = 0.0


class Proposal(NamedTuple):
    """A step that may still be refused.

    Attributes:
      loss: `[]`, before the step.
      batch: what the algorithm said of the batch.
      gradients: the nest of `params`; of a step without gradients, how much each moves.
      applied: `[]` bool, whether the step is sound.
      stepped: the state after it.
    """

    loss: jax.Array
    batch: BatchLoss
    gradients: Any
    applied: jax.Array
    stepped: AgentState


Hidden = dict[int, tuple[int, ...]]
"""Places of float32 leaves that nobody sees between steps, in ascending order, with their shapes."""


def pack(leaves: Sequence[Any], hidden: Hidden, xp: Any) -> list[Any]:
    """Returns the leaves with the hidden ones as one vector at the end; `xp` is `numpy` outside of programs."""
    vector = xp.concatenate([xp.zeros(0, np.float32), *(xp.ravel(leaves[place]) for place in hidden)])
    return [*(leaf for place, leaf in enumerate(leaves) if place not in hidden), vector]


def unpack(packed: Sequence[Any], hidden: Hidden) -> list[Any]:
    """Returns the leaves that `pack` was given."""
    *leaves, vector = packed
    for place, shape in hidden.items():
        leaves.insert(place, vector[: math.prod(shape)].reshape(shape))
        vector = vector[math.prod(shape) :]
    return leaves


class StepCounter:
    """A number of train steps that several agents may share, by being passed to each."""

    def __init__(self, value: int = 0):
        self.value = value

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __eq__(self, other: object) -> bool:
        return self.value == int(other) if isinstance(other, int | StepCounter | np.integer) else NotImplemented

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"StepCounter({self.value})"
