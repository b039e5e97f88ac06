"""Sealed JSON: what was written comes back, and nothing else does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdaw.errors import StorageError
from jaxdaw.specs import seal, unseal

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda child: st.lists(child, max_size=3) | st.dictionaries(st.text(), child, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text().filter(lambda key: key != "digest"), JSON, max_size=4))
def test_unseal_returns_what_was_sealed(contents: dict[str, Any]):
    assert unseal(seal(contents)) == contents


def test_unseal_finds_every_flipped_bit():
    contents = {"best": 195.5, "steps": [1, 2], "name": "é"}
    text = seal(contents)
    for position in range(8 * len(text)):
        flipped = bytearray(text)
        flipped[position // 8] ^= 1 << position % 8
        try:
            found = unseal(bytes(flipped))
        except (ValueError, RecursionError):
            continue
        assert found is None or found == contents  # the latter: white space, which means nothing


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[1]",
        b"{",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b"\xff\xfe{\x00}\x00",
    ],
)
def test_unseal_takes_strict_json_only(text: bytes):
    with pytest.raises(ValueError, match=r"."):
        unseal(text)


def test_unseal_survives_endless_nesting():
    with pytest.raises((ValueError, RecursionError)):
        unseal(b'{"a":' + b"[" * 2_000_000)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), np.float32(1), object(), {1, 2}], ids=["nan", "inf", "numpy", "object", "set"]
)
def test_seal_refuses_what_json_has_no_form_for(value: object):
    with pytest.raises(StorageError, match=r"metadata cannot be written as JSON"):
        seal({"a": [value]})


def test_seal_refuses_a_cycle():
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(StorageError, match="cannot be written"):
        seal({"a": loop})
