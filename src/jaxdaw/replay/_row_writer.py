"""One row of a ring, written in place: for one ring, or for those of many seeds."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax


@functools.cache
def row_writer(axis: int) -> Callable[[jax.Array, jax.Array, jax.Array], jax.Array]:
    """Returns `write(ring, row, cursor)` for rings whose time axis is `axis`.

    JAX batches `dynamic_update_slice` into a scatter, even where all members write at the same index. This keeps it a
    slice update then, one axis further in; with a cursor for each member it is the scatter that it must be.
    """

    def update(ring: jax.Array, row: jax.Array, cursor: jax.Array) -> jax.Array:
        return lax.dynamic_update_index_in_dim(ring, row, cursor, axis)

    write = jax.custom_batching.custom_vmap(update)

    @write.def_vmap
    def _(axis_size: int, batched: list[bool], ring: jax.Array, row: jax.Array, cursor: jax.Array):
        ring_batched, row_batched, cursor_batched = batched
        if cursor_batched:
            return jax.vmap(update, [0 if is_batched else None for is_batched in batched])(ring, row, cursor), True
        ring = ring if ring_batched else jnp.broadcast_to(ring, (axis_size, *ring.shape))
        row = row if row_batched else jnp.broadcast_to(row, (axis_size, *row.shape))
        return row_writer(axis + 1)(ring, row, cursor), True

    return write
