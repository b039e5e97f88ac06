"""CRC-32 in pieces, against zlib's in one."""

import zlib

import numpy as np
import pytest

from jaxdaw.data import _crc
from jaxdaw.data._crc import crc32_of


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 250, 1000, 4096])
def test_pieces_give_the_crc_of_the_whole(size: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_crc, "_PIECE", 100)
    monkeypatch.setattr(_crc, "_CHUNK", 30)
    contents = np.random.default_rng(size).bytes(size)
    assert crc32_of(memoryview(contents)) == zlib.crc32(contents)
    target = bytearray(size)

    def fill(part: memoryview, position: int) -> None:
        part[:] = contents[position : position + len(part)]

    assert crc32_of(memoryview(target), fill) == zlib.crc32(contents)
    assert target == contents


def test_many_bytes_and_what_fill_raises():
    contents = np.random.default_rng(0).bytes(2**23 * 2 + 5)
    assert crc32_of(memoryview(contents)) == zlib.crc32(contents)

    def fails(part: memoryview, position: int) -> None:
        raise OSError(f"at {position}")

    with pytest.raises(OSError, match="at 0"):
        crc32_of(memoryview(bytearray(2**24)), fails)
