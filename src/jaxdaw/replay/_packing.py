"""Packs the small leaves of a frame into one row of 32-bit words: one write for a frame, one gather for a window.

A record of a small task has a dozen leaves of a few bytes. Stored apart, each costs a scatter and a gather; as bits in
one `uint32` row they cost one of each (2.0 instead of 2.4 us a step for six leaves in a `scan` on two CPU cores; at 64
seeds together the same). The bits come back exactly, NaN payloads included: storage obeys no floating-point rules.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# A leaf above 512 bytes a frame copies at memory speed anyway; widening it to words would only waste memory.
MAX_PACKED_WORDS = 128

# The unsigned type with an element's bits. 64-bit elements become pairs of words.
_BITS = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32, 8: jnp.uint32}


@dataclasses.dataclass(frozen=True)
class _Leaf:
    """Shape and dtype of a leaf as the device holds it."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def num_words(self) -> int:
        """Words for one frame: one an element, two for 64-bit types."""
        return math.prod(self.shape) * max(1, self.dtype.itemsize // 4)

    @property
    def is_packed(self) -> bool:
        """Whether its bits go into the row of words."""
        return self.num_words <= MAX_PACKED_WORDS

    def to_words(self, values: jax.Array) -> jax.Array:
        """`[outer, *shape]` -> `[outer, num_words]` uint32."""
        if self.dtype != np.bool_:
            values = lax.bitcast_convert_type(values, _BITS[self.dtype.itemsize])
        return values.astype(jnp.uint32).reshape(values.shape[0], self.num_words)

    def from_words(self, words: jax.Array) -> jax.Array:
        """`[*outer, num_words]` uint32 -> `[*outer, *shape]`."""
        pair = (2,) if self.dtype.itemsize == 8 else ()
        words = words.reshape(*words.shape[:-1], *self.shape, *pair)
        if self.dtype == np.bool_:
            return words != 0
        return lax.bitcast_convert_type(words.astype(_BITS[self.dtype.itemsize]), self.dtype)


@dataclasses.dataclass(frozen=True)
class Packing:
    """Which leaves share the row of words, and which keep an array of their own.

    The arrays stand in this order: the words, if any leaf is packed; then the other leaves as they come.
    """

    leaves: tuple[_Leaf, ...]

    @classmethod
    def of(cls, leaves: Iterable[jax.ShapeDtypeStruct]) -> Packing:
        """Returns the packing of leaves whose dtypes the device can hold (canonical ones)."""
        return cls(tuple(_Leaf(tuple(leaf.shape), np.dtype(leaf.dtype)) for leaf in leaves))

    @property
    def num_words(self) -> int:
        """Words in the packed row."""
        return sum(leaf.num_words for leaf in self.leaves if leaf.is_packed)

    @property
    def rows(self) -> list[tuple[tuple[int, ...], np.dtype]]:
        """Shape and dtype of one frame's row in each array."""
        words = [((self.num_words,), np.dtype(np.uint32))] if any(leaf.is_packed for leaf in self.leaves) else []
        return words + [(leaf.shape, leaf.dtype) for leaf in self.leaves if not leaf.is_packed]

    def pack(self, values: Sequence[jax.Array]) -> list[jax.Array]:
        """Returns the arrays' rows `[B, ...]` for leaf values `[B, ...]`."""
        pairs = [(leaf, jnp.asarray(value, leaf.dtype)) for leaf, value in zip(self.leaves, values, strict=True)]
        words = [leaf.to_words(value) for leaf, value in pairs if leaf.is_packed]
        apart = [value for leaf, value in pairs if not leaf.is_packed]
        return ([jnp.concatenate(words, axis=-1)] if words else []) + apart

    def unpack(self, rows: Sequence[jax.Array]) -> list[jax.Array]:
        """Returns the leaf values `[*outer, ...]` for the arrays' rows `[*outer, ...]`."""
        rest = iter(rows)
        words = next(rest) if any(leaf.is_packed for leaf in self.leaves) else jnp.zeros((0,), jnp.uint32)
        values, offset = [], 0
        for leaf in self.leaves:
            if leaf.is_packed:
                values.append(leaf.from_words(words[..., offset : offset + leaf.num_words]))
                offset += leaf.num_words
            else:
                values.append(next(rest))
        return values
