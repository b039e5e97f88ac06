"""CRC-32 of much at once, on all processors: one has to be faster than the disk's cache, or nobody verifies."""

from __future__ import annotations

import functools
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_POLYNOMIAL = 0xEDB88320  # of zip archives, lowest power first
_PIECE = 2**23  # bytes that one thread takes at a time
_CHUNK = 2**18  # bytes that stay in the cache of a processor from reading to summing


def crc32_of(contents: memoryview, fill: Callable[[memoryview, int], None] | None = None) -> int:
    """Returns the CRC-32 of bytes, as `zlib.crc32` does.

    Args:
      contents: the bytes, or where they go.
      fill: is called, by several threads, with a part of `contents` and where in it the part begins, to put them there.

    >>> crc32_of(memoryview(b"jackdaw")) == zlib.crc32(b"jackdaw")
    True
    """

    def of(start: int) -> int:
        crc = 0
        for position in range(start, min(start + _PIECE, len(contents)), _CHUNK):
            part = contents[position : min(position + _CHUNK, start + _PIECE)]
            if fill is not None:
                fill(part, position)
            crc = zlib.crc32(part, crc)
        return crc

    starts = range(0, len(contents), _PIECE)
    if len(starts) < 2:
        return of(0) if len(contents) else 0
    with ThreadPoolExecutor(min(len(starts), os.cpu_count() or 1, 8)) as threads:
        crcs = list(threads.map(of, starts))
    whole = crcs[0]
    for start, crc in zip(starts[1:], crcs[1:], strict=True):
        whole = _product(_power(min(_PIECE, len(contents) - start)), whole) ^ crc
    return whole


@functools.lru_cache
def _power(length: int) -> int:
    """Returns x to the power of `8 * length`: what that many zero bytes do to the CRC-32 before them."""
    power, square = 1 << 31, 1 << 23  # x^0 and x^8
    while length:
        if length & 1:
            power = _product(square, power)
        square, length = _product(square, square), length >> 1
    return power


def _product(one: int, other: int) -> int:
    """Returns the product of two polynomials modulo that of the CRC-32."""
    product = 0
    for bit in range(31, -1, -1):
        if one >> bit & 1:
            product ^= other
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return product
