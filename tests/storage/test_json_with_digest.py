"""JSON with a digest: what was written comes back, and nothing else does."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdaw.errors import StorageError
from jaxdaw.storage import read_json, seal, unseal, write_json

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
        except ValueError:
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
    with pytest.raises(ValueError, match="more than 100 levels"):
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


# Files.


def test_a_file_is_read_as_it_was_written(tmp_path: Path):
    write_json(tmp_path / "a.json", {"x": [1, 2.5, None]})
    write_json(tmp_path / "a.json", {"x": {"é": "ü"}})
    assert read_json(tmp_path / "a.json") == {"x": {"é": "ü"}}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_file_of_an_older_version_has_no_digest(tmp_path: Path):
    path = tmp_path / "config.json"
    path.write_text('{"format": 1}')
    assert read_json(path, require_digest=False) == {"format": 1}
    with pytest.raises(StorageError, match=r"config\.json is damaged, or was changed by hand\n.*got  no digest"):
        read_json(path)
    path.write_text('{"format": 1, "digest": "00"}')
    with pytest.raises(StorageError, match="changed by hand"):
        read_json(path, require_digest=False)


@pytest.mark.parametrize(
    ("text", "got"),
    [
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "a key stands twice: 'c'"),
        (b'{"a": "\xff"}', "'utf-8' codec"),
        (b"[1]", "a JSON list in place of an object"),
        (b"null", "a JSON NoneType"),
        (b'{"a": 1e999}', "1e999 is not a finite number"),
        (b'{"a": -Infinity}', "-Infinity is not a finite number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "more than 100 levels"),
        (b'{"a":' * 100_000, "more than 100 levels"),
        (b"", "an empty file"),
        (b'{"a": 1', "Expecting"),
        (b'{"a": 1} {}', "Extra data"),
    ],
)
@pytest.mark.parametrize("require_digest", [True, False])
def test_anything_but_one_object_in_strict_json_is_refused(text: bytes, got: str, require_digest: bool, tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_bytes(text)
    with pytest.raises(StorageError, match=f"a.json is damaged or something else\n.*got  {got}"):
        read_json(path, require_digest=require_digest)


def test_files_that_cannot_be_read_are_named(tmp_path: Path):
    write_json(tmp_path / "a.json", {"x": 1})
    (tmp_path / "link.json").symlink_to(tmp_path / "a.json")
    assert read_json(tmp_path / "link.json") == {"x": 1}
    for name, options, message in (
        ("absent.json", {}, r"cannot read .*absent\.json"),
        (".", {}, "a device, pipe or directory"),
        ("link.json", {"follow_links": False}, "a symbolic link"),
        ("a.json", {"limit_bytes": 10}, r"a\.json of at most 10 bytes"),
    ):
        with pytest.raises(StorageError, match=message):
            read_json(tmp_path / name, **options)


@given(st.binary(max_size=80))
def test_no_bytes_raise_anything_else(text: bytes):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "a.json"
        path.write_bytes(text)
        with contextlib.suppress(StorageError):
            read_json(path, require_digest=False)


def test_a_refused_or_failed_write_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with pytest.raises(StorageError, match="cannot be written as JSON"):
        write_json(path, {"x": float("nan")})
    deep: list = []
    for _ in range(120):
        deep = [deep]
    with pytest.raises(StorageError, match="more than 100 levels"):
        write_json(path, {"x": deep})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"cannot write .*a\.json: No space left.*as it was before"):
        write_json(path, {"x": 2})
    with pytest.raises(StorageError, match="cannot write"):
        write_json(tmp_path / "absent" / "a.json", {"x": 2})
    assert read_json(path) == {"x": 1}
    assert os.listdir(tmp_path) == ["a.json"]
