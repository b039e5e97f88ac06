"""A sum tree over float32 values, as pure functions on the device."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax import lax

from jaxdaw.replay._row_writer import row_writer

Levels = tuple[jax.Array, ...]
"""The sums, from the values themselves (level 0) up to a level of at most `_FAN_OUT` of them."""

_FAN_OUT = 8
"""Children of a node. On a CPU 8 are fastest: fewer make more levels, more make each choice dearer."""


@dataclasses.dataclass(frozen=True)
class PureSumTree:
    """Non-negative values `[rows, columns]` with their running sums: set some, find some, in a few array operations.

    Every inner node is the float32 sum of its children, recomputed and never adjusted by a difference: nothing drifts.

    Args:
      rows: steps of a ring.
      columns: environments.

    Examples:
      >>> tree = PureSumTree(rows=3, columns=1)
      >>> levels = tree.init()
      >>> levels = tree.set(levels, (jnp.array([0, 2]), jnp.array([0, 0])), jnp.array([1.0, 3.0]))
      >>> tree.total(levels)
      Array(4., dtype=float32)
      >>> tree.find(levels, jnp.array([0.5, 1.0, 3.9]))[0]
      Array([0, 2, 2], dtype=int32)
    """

    rows: int
    columns: int

    @functools.cached_property
    def _stride(self) -> int:
        # A power of two: then a row is an aligned range of every level, and is written as one slice.
        return 1 << (self.columns - 1).bit_length()

    @functools.cached_property
    def _sizes(self) -> tuple[int, ...]:
        sizes, size = [], self.rows * self._stride
        while size > _FAN_OUT:
            blocks = -(-size // _FAN_OUT)
            sizes.append(blocks * _FAN_OUT)
            size = blocks
        return (*sizes, size)

    @property
    def num_bytes(self) -> int:
        """Bytes of all levels."""
        return 4 * sum(self._sizes)

    def init(self) -> Levels:
        """Returns the levels of values that are all 0."""
        return tuple(jnp.zeros(size, jnp.float32) for size in self._sizes)

    def total(self, levels: Levels) -> jax.Array:
        """Returns the sum of all values, `[]`."""
        return jnp.sum(levels[-1])

    def get(self, levels: Levels, places: tuple[jax.Array, jax.Array]) -> jax.Array:
        """Returns the values at places `(row, column)`, `[n]` each."""
        return _take(levels[0], places[0] * self._stride + places[1])

    def set(self, levels: Levels, places: tuple[jax.Array, jax.Array], values: jax.Array) -> Levels:
        """Returns the levels with `values` `[n]`, at least 0, at places `(row, column)`, `[n]` each.

        Of a place that is given twice, one value counts; which, is not said.
        """
        nodes = places[0] * self._stride + places[1]
        changed = [levels[0].at[nodes].set(values, mode="promise_in_bounds")]
        for level in levels[1:]:
            nodes = nodes // _FAN_OUT
            sums = jnp.sum(_take(changed[-1].reshape(-1, _FAN_OUT), nodes), axis=-1)
            changed.append(level.at[nodes].set(sums, mode="promise_in_bounds"))
        return tuple(changed)

    def set_row(self, levels: Levels, row: jax.Array, value: jax.Array) -> Levels:
        """Returns the levels with one `value` `[]` in every column of a `row` `[]` int32."""
        width = self._stride
        values = jnp.where(jnp.arange(width) < self.columns, value, 0.0)
        first, changed = row * width, []
        for level in levels:
            if changed:
                width, first = max(width // _FAN_OUT, 1), first // _FAN_OUT
                children = lax.dynamic_slice_in_dim(changed[-1], first * _FAN_OUT, width * _FAN_OUT)
                values = jnp.sum(children.reshape(width, _FAN_OUT), axis=-1)
            written = row_writer(0)(level.reshape(-1, width), values, first // width)
            changed.append(written.reshape(level.shape))
        return tuple(changed)

    def find(self, levels: Levels, positions: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns for each position `[n]` in `[0, total)` the place whose running sum exceeds it: `(row, column)`.

        A value of 0 is never found, whatever the rounding, unless all are 0.
        """
        top = jnp.broadcast_to(levels[-1], (*positions.shape, *levels[-1].shape))
        node, remaining = _choose(top, positions)
        for level in levels[-2::-1]:
            child, remaining = _choose(_take(level.reshape(-1, _FAN_OUT), node), remaining)
            node = node * _FAN_OUT + child
        return node // self._stride, node % self._stride


def _choose(values: jax.Array, positions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the first of the values `[n, K]` whose running sum exceeds each position, and what remains of it."""
    width, sums, shift = values.shape[-1], values, 1
    while shift < width:  # a tenth of the time of jnp.cumsum, whose windows XLA sums one by one on a CPU
        sums, shift = sums + jnp.pad(sums[:, :-shift], ((0, 0), (shift, 0))), shift * 2
    number = jnp.arange(width, dtype=jnp.int32)
    exceeding = jnp.min(jnp.where((sums > positions[:, None]) & (values > 0), number, width), axis=-1)
    # A position at the very end may by rounding point past the last value.
    chosen = jnp.minimum(exceeding, jnp.max(jnp.where(values > 0, number, 0), axis=-1))
    before = jnp.sum(jnp.where(number < chosen[:, None], values, 0.0), axis=-1)
    return chosen, jnp.maximum(positions - before, 0.0)


def _take(values: jax.Array, indices: jax.Array) -> jax.Array:
    return values.at[indices].get(mode="promise_in_bounds")
