"""RecordedSource: a source over a fixed data set, such as demonstrations or a log of decisions."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxdaw.replay._source import Prepare


@dataclasses.dataclass(frozen=True, eq=False)
class RecordedSource:
    """Batches of a fixed data set, which is its state: `(experience, weights)` with leaves `[N, ...]`.

    Which rows a batch holds is given as `randomness`, `[K, batch_size]` indices, by whoever plans the
    passes over the data; `draw` plans independent draws with replacement.

    Attributes:
      size: N, rows of the data.
      batch_size: rows in a batch.
      updates: K, batches in a learning phase.
    """

    size: int
    batch_size: int
    updates: int
    on_host = False

    def draw(self, key: jax.Array, phases: int) -> jax.Array:
        """Returns indices of rows `[phases, K, batch_size]`."""
        return jax.random.randint(key, (phases, self.updates, self.batch_size), 0, self.size, jnp.int32)

    def batches(self, state: Any, randomness: jax.Array, prepare: Prepare) -> jax.Array:
        """Returns the indices: rows are gathered a batch at a time."""
        del state, prepare
        return randomness

    def batch(self, state: Any, x: jax.Array, env_steps: Any) -> tuple[Any, Any, None]:
        """Returns the rows at these indices, and their weights."""
        del env_steps
        experience, weights = jax.tree.map(lambda leaf: leaf[x], state)
        return experience, weights, None

    def feedback(self, state: Any, drawn: None, extra: Any) -> Any:
        """Returns the data as it is."""
        del drawn, extra
        return state
