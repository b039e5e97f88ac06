"""Records of agents: AgentState, BatchLoss, and the StepCounter that agents may share."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np


class AgentState(NamedTuple):
    """Everything that training changes, as one pytree of arrays; `Agent.update` maps it to the next.

    Attributes:
      params: trainable arrays, one nested dict for each network's (or `Parameter`'s) name.
      rest: the networks' other arrays (batch statistics, dropout counters), the same keys.
      opt_state: the state of each optimizer, by its name.
      memory: what the algorithm keeps beside them, a NamedTuple of its own (target networks, counts); `()` for nothing.
      key: `[2]` uint32, key data: the source of all randomness of this seed's training. It never changes; step `n`
        draws from its `fold_in` with `n`.
      train_step: `[]` int32, updates applied.
      summaries: the latest summaries by tag; empty unless asked for.
    """

    params: dict[str, Any]
    rest: dict[str, Any]
    opt_state: dict[str, Any]
    memory: Any
    key: jax.Array
    train_step: Any
    summaries: dict[str, Any]

    @property
    def step_key(self) -> jax.Array:
        """The key of the next train step."""
        return jax.random.fold_in(jax.random.wrap_key_data(self.key), self.train_step)


class BatchLoss(NamedTuple):
    """One loss of one batch, before weights and regularization.

    Attributes:
      per_example: `[B]` or `[B, T]` float32, unweighted, 0 for rows that teach nothing.
      extra: the algorithm's record of per-example values.
      rest: the networks' other arrays after the forward passes, by name.
      debug: `{tag: array}`, summarised when `debug_summaries` is on; a number `[]` as it is.
      unweighted: what is added to each example's loss after it was weighted; a number, or the shape of `per_example`.
      count: `[]`, what the weighted sum is divided by; None is the number of examples, which makes it a mean.
    """

    per_example: jax.Array
    extra: Any
    rest: dict[str, Any]
    debug: dict[str, jax.Array]
    unweighted: Any = 0.0
    count: Any = None


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
