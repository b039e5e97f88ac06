"""Records of a journal: verified one by one, and cut anywhere without harm."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jaxdaw.storage import Record, encode_record, read_record

RECORDS = [(b'{"a": 1}', b"\x01" * 10), (b"{}", b""), (b'{"b": 2}', bytes(range(200)))]
FILE = b"".join(encode_record(text, contents) for text, contents in RECORDS)


def records_of(file: bytes) -> tuple[list[Record], str | None]:
    array, position, found = np.frombuffer(file, np.uint8), 0, []
    while position < len(array):
        record = read_record(array, position)
        if isinstance(record, str):
            return found, record
        found.append(record)
        position = record.end
    return found, None


def test_records_come_back_aligned_and_padded():
    found, problem = records_of(FILE)
    assert problem is None
    for record, (text, contents) in zip(found, RECORDS, strict=True):
        assert record.text.rstrip() == text
        assert bytes(record.contents[: len(contents)]) == contents
        assert record.end % 64 == 0


@given(st.integers(0, len(FILE) - 1))
def test_a_cut_file_keeps_its_whole_records(size: int):
    found, problem = records_of(FILE[:size])
    ends = [record.end for record in records_of(FILE)[0]]
    assert len(found) == sum(end <= size for end in ends)
    assert (problem is None) == (size in (0, *ends))
    assert problem is None or "unfinished" in problem


@given(st.integers(0, 8 * len(FILE) - 1))
def test_every_flipped_bit_is_found(position: int):
    flipped = bytearray(FILE)
    flipped[position // 8] ^= 1 << position % 8
    found, problem = records_of(bytes(flipped))
    assert problem is not None
    assert "record" in problem
    assert all(record.end <= position // 8 for record in found)
