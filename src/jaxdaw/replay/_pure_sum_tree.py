"""PureSumTree: a sum tree over float32 values, as pure functions."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp

Levels = tuple[jax.Array, ...]
"""The sums, from the values themselves (level 0) up to a level of at most `_FAN_OUT` of them."""

_FAN_OUT = 8
"""Children of a node. On a CPU 8 are fastest: fewer make more levels, more make each choice dearer."""


@dataclasses.dataclass(frozen=True)
class PureSumTree:
    """What `SumTree` is on the host: non-negative values with their running sums; set many, find many.

    Every inner node is the float32 sum of its children, recomputed and never adjusted by a difference: nothing drifts.

    Args:
      size: number of values, at least 1.

    Examples:
      >>> tree = PureSumTree(3)
      >>> levels = tree.set(tree.init(), jnp.array([0, 2]), jnp.array([1.0, 3.0]))
      >>> tree.total(levels)
      Array(4., dtype=float32)
      >>> tree.find(levels, jnp.array([0.5, 1.0, 3.9]))
      (Array([0, 2, 2], dtype=int32), Array([1., 3., 3.], dtype=float32))
    """

    size: int

    @functools.cached_property
    def _sizes(self) -> tuple[int, ...]:
        sizes, size = [], self.size
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

    def set(self, levels: Levels, indices: jax.Array, values: jax.Array) -> Levels:
        """Returns the levels with finite values `[n]`, at least 0, at `indices` `[n]`.

        Of an index that is repeated, one value counts; which, is not said.
        """
        changed = [levels[0].at[indices].set(values, mode="promise_in_bounds")]
        for level in levels[1:]:
            indices = indices // _FAN_OUT
            sums = jnp.sum(_blocks(changed[-1], indices), axis=-1)
            changed.append(level.at[indices].set(sums, mode="promise_in_bounds"))
        return tuple(changed)

    def find(self, levels: Levels, positions: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns for each position `[n]` in `[0, total)` the first index whose running sum exceeds it; and its value.

        A value of 0 is never found, whatever the rounding, unless all are 0. The values come from what was read on the
        way: another look at the levels, whose result `set` does not wait for, would make XLA copy them.
        """
        top = jnp.broadcast_to(levels[-1], (*positions.shape, *levels[-1].shape))
        index, value, remaining = _choose(top, positions)
        for level in levels[-2::-1]:
            child, value, remaining = _choose(_blocks(level, index), remaining)
            index = index * _FAN_OUT + child
        return index, value


def _blocks(level: jax.Array, blocks: jax.Array) -> jax.Array:
    return level.reshape(-1, _FAN_OUT).at[blocks].get(mode="promise_in_bounds")


def _choose(values: jax.Array, positions: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the first of the values `[n, K]` whose running sum exceeds each position, it, and what remains inside."""
    width, sums, shift = values.shape[-1], values, 1
    while shift < width:  # a third of the time of jnp.cumsum on a CPU
        sums, shift = sums + jnp.pad(sums[:, :-shift], ((0, 0), (shift, 0))), shift * 2
    number = jnp.arange(width, dtype=jnp.int32)
    exceeding = jnp.min(jnp.where((sums > positions[:, None]) & (values > 0), number, width), axis=-1)
    # Rounding may move a position at the very end past the last value.
    chosen = jnp.minimum(exceeding, jnp.max(jnp.where(values > 0, number, 0), axis=-1))
    value = jnp.sum(jnp.where(number == chosen[:, None], values, 0.0), axis=-1)
    before = jnp.sum(jnp.where(number < chosen[:, None], values, 0.0), axis=-1)
    return chosen, value, jnp.maximum(positions - before, 0.0)
