"""Saved directories: whole or absent, whatever happens, and refused whatever is in them."""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxdaw.errors import StorageError
from jaxdaw.storage import (
    Kind,
    _atomic_directory,
    format_refusal,
    layout,
    read_arrays,
    read_document,
    seal,
    write_directory,
)
from jaxdaw.storage._atomic_directory import remove_leftovers

CHECKPOINT = Kind("checkpoint", "manifest.json", "arrays.safetensors")

ARRAYS = {"['x']": np.arange(12, dtype=np.float32).reshape(3, 4), "['y']": np.asarray(7, np.int64)}


def save(directory: Path, scale: int = 1) -> None:
    arrays = {name: array * array.dtype.type(scale) for name, array in ARRAYS.items()}
    write_directory(directory, CHECKPOINT, arrays, {"metadata": {"scale": scale}})


def load(directory: Path) -> dict[str, np.ndarray]:
    return read_arrays(directory, CHECKPOINT, read_document(directory, CHECKPOINT), ARRAYS)


def error_of(function: Callable[..., Any], *args: Any) -> StorageError | None:
    try:
        function(*args)
    except StorageError as error:
        return error
    return None


def scale_of(directory: Path) -> int:
    scale = read_document(directory, CHECKPOINT)["metadata"]["scale"]
    for name, array in load(directory).items():
        assert np.array_equal(array, ARRAYS[name] * scale)
    return scale


# Damage.


@pytest.mark.parametrize("file", ["manifest.json", "arrays.safetensors"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b" \n{"),
        lambda path: os.truncate(path, 2 * path.stat().st_size),
    ],
    ids=["missing", "empty", "truncated", "longer", "zeros behind"],
)
def test_damaged_file_is_refused_and_named(file: str, damage: Callable[[Path], Any], tmp_path: Path):
    save(tmp_path / "a")
    damage(tmp_path / "a" / file)
    with pytest.raises(StorageError, match=rf"{file}"):
        load(tmp_path / "a")


def test_every_flipped_bit_of_the_arrays_is_found(tmp_path: Path):
    save(tmp_path / "a")
    path = tmp_path / "a" / "arrays.safetensors"
    whole = path.read_bytes()
    for position in range(0, 8 * len(whole), 7):  # 7 is prime to 8: every bit of a byte has its turn
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << position % 8
        path.write_bytes(flipped)
        with pytest.raises(StorageError, match=r"arrays\.safetensors is missing or damaged"):
            load(tmp_path / "a")


def test_files_swapped_between_directories_are_refused(tmp_path: Path):
    save(tmp_path / "a", 1)
    save(tmp_path / "b", 2)
    os.replace(tmp_path / "b" / "arrays.safetensors", tmp_path / "a" / "arrays.safetensors")
    with pytest.raises(StorageError, match=r"a/arrays\.safetensors is missing or damaged\n  expected  sha256 \w{16}"):
        load(tmp_path / "a")


# Things that are no saved directory.


def as_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"x")


@pytest.mark.parametrize(
    ("make", "got"),
    [
        (lambda path: None, "nothing there"),
        (lambda path: path.write_bytes(pickle.dumps({})), "a file"),
        (as_zip, "a file"),
        (lambda path: path.mkdir(), "no manifest.json"),
    ],
    ids=["absent", "pickle", "zip", "empty directory"],
)
def test_anything_else_is_not_a_checkpoint(make: Callable[[Path], Any], got: str, tmp_path: Path):
    make(tmp_path / "a")
    with pytest.raises(StorageError, match=f"a is not a jaxdaw checkpoint\n.*got  {got}"):
        read_document(tmp_path / "a", CHECKPOINT)


@pytest.mark.parametrize(
    ("text", "got"),
    [
        (pickle.dumps({"format": 1}), "Python objects that only Python could run"),
        (b"PK\x03\x04rest", "a zip file"),
        (b"[1, 2]", "a JSON list in place of an object"),
        (b'{"format": 1, "format": 1}', "a key stands twice"),
        (b'{"format": NaN}', "could not|not a finite number"),
        (b'{"a":' * 100_000, "more than 100 levels"),
    ],
    ids=["pickle", "zip", "list", "duplicate", "nan", "deep"],
)
def test_manifest_of_something_else_is_refused(text: bytes, got: str, tmp_path: Path):
    save(tmp_path / "a")
    (tmp_path / "a" / "manifest.json").write_bytes(text)
    with pytest.raises(StorageError, match=rf"(?s)is not a jaxdaw checkpoint: .*manifest.json.*got  .*({got})"):
        read_document(tmp_path / "a", CHECKPOINT)


@pytest.mark.parametrize("contents", [{}, {"format": True, "sha256": {}}, {"format": 1, "sha256": []}])
def test_sealed_json_without_the_essentials_is_refused(contents: dict[str, Any], tmp_path: Path):
    (tmp_path / "manifest.json").write_bytes(seal(contents))
    with pytest.raises(StorageError, match="expected  'format' and 'sha256'"):
        read_document(tmp_path, CHECKPOINT)


def test_huge_manifest_is_refused_before_it_is_read(tmp_path: Path):
    save(tmp_path / "a")
    os.truncate(tmp_path / "a" / "manifest.json", 10**12)  # sparse: it takes no space
    with pytest.raises(
        StorageError, match=r"manifest.json of at most 33,554,432 bytes .* got  1,000,000,000,000 bytes"
    ):
        read_document(tmp_path / "a", CHECKPOINT)


def test_huge_arrays_are_refused_before_memory_is_taken(tmp_path: Path):
    save(tmp_path / "a")
    document = read_document(tmp_path / "a", CHECKPOINT)
    os.truncate(tmp_path / "a" / "arrays.safetensors", 10**12)
    with pytest.raises(StorageError, match="got  1,000,000,000,000 bytes"):
        read_arrays(tmp_path / "a", CHECKPOINT, document, ARRAYS)


@pytest.mark.parametrize("file", ["manifest.json", "arrays.safetensors"])
@pytest.mark.parametrize(
    ("make", "got"),
    [
        (lambda path: path.symlink_to(path.parent.parent / "outside"), "a symbolic link"),
        (lambda path: path.symlink_to("/dev/zero"), "a symbolic link"),
        (os.mkfifo, "a device, pipe or directory"),
        (lambda path: path.mkdir(), "a device, pipe or directory"),
    ],
    ids=["link", "link to a device", "pipe", "directory"],
)
def test_what_is_no_plain_file_is_not_opened(file: str, make: Callable[[Path], Any], got: str, tmp_path: Path):
    save(tmp_path / "a")
    path = tmp_path / "a" / file
    path.rename(tmp_path / "outside")
    make(path)
    with pytest.raises(StorageError, match=rf"{file}.*\n.*got  {got}"):
        load(tmp_path / "a")


def test_newer_format_is_refused_with_both_numbers(tmp_path: Path):
    refusal = format_refusal(Path("run/policy"), {"format": 2})
    assert str(refusal) == (
        "run/policy was written by format 2, this is 1\n"
        "  Likely cause: it comes from a newer jaxdaw.\n"
        "  Fix: pip install -U jaxdaw"
    )
    assert format_refusal(Path(), {"format": 1}) is None


# Names.


@pytest.mark.parametrize("name", ["with space", "é 🤖", "x" * 255, "CON", "a.b", "-rf"])
def test_any_name_can_be_saved_and_replaced(name: str, tmp_path: Path):
    for scale in (1, 2):
        save(tmp_path / name, scale)
        assert scale_of(tmp_path / name) == scale
    assert os.listdir(tmp_path) == [name]


def test_directory_may_be_a_link_of_the_users(tmp_path: Path):
    save(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    save(tmp_path / "link", 2)
    assert (tmp_path / "link").is_symlink()
    assert scale_of(tmp_path / "real") == 2


def test_write_refuses_to_replace_a_directory_with_other_files(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(
        StorageError, match=r"holds something else than a checkpoint, which would be lost\n.*thesis.tex"
    ):
        save(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]


# Failures and kills.


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.EACCES])
@pytest.mark.parametrize("call", ["fsync", "mkdir", "rename"])
def test_failure_at_any_call_leaves_a_whole_directory(
    number: int, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    save(tmp_path / "a", 1)
    original, failures = getattr(os, call), 0
    for failing in range(100):
        calls, before = iter(range(100)), scale_of(tmp_path / "a")

        def fail(*args: Any, calls: Any = calls, failing: int = failing, **kwargs: Any) -> Any:
            if next(calls) == failing:
                raise OSError(number, os.strerror(number))
            return original(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            error = error_of(save, tmp_path / "a", failing + 2)
        if error is not None:
            failures += 1
            assert os.strerror(number) in str(error)
            assert str(tmp_path / "a") in str(error)
        assert scale_of(tmp_path / "a") in (before, failing + 2)
        if next(calls) <= failing:
            break
    assert failures >= 1
    save(tmp_path / "a", 1000)
    assert scale_of(tmp_path / "a") == 1000
    assert os.listdir(tmp_path) == ["a"]


def test_full_disk_tells_the_bytes_needed_and_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError) as caught:
        save(tmp_path / "a")
    needed = 12 * 4 + 1 * 8 + len(layout(ARRAYS)[0])  # 12 float32, 1 int64 and the head of the file
    assert f"expected  {needed:,} bytes free          got  " in str(caught.value)
    assert "Likely cause: a full disk, or a quota." in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_parent_that_is_a_file_is_a_storage_error(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write .*: (Not a directory|File exists)"):
        save(tmp_path / "file" / "a")


def test_interrupted_save_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "a")
    assert os.listdir(tmp_path) == []


def test_leftovers_go_when_their_process_is_gone(tmp_path: Path):
    dead = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, check=True, text=True).stdout.strip()
    host, me = _atomic_directory.socket.gethostname(), os.getpid()
    gone = [f".jaxdaw-{host}-{dead}-00000000-0.tmp", f".jaxdaw-{host}-{me}-00000000-0.tmp"]
    kept = [
        f".jaxdaw-{host}-{me}-{_atomic_directory._LIFE}-9999.tmp",  # another thread's
        f".jaxdaw-{host}-{os.getppid()}-00000000-0.tmp",
        f".jaxdaw-elsewhere-{dead}-00000000-0.tmp",
        ".jaxdaw-notes.tmp",
    ]
    for name in gone + kept:
        (tmp_path / name).mkdir()
        (tmp_path / name / "arrays.safetensors").touch()
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def test_what_was_put_aside_is_read_and_replaced_after_a_kill_between_the_renames(tmp_path: Path):
    save(tmp_path / "a", 1)
    (tmp_path / "a").rename(tmp_path / ".a.previous")
    assert scale_of(tmp_path / "a") == 1
    save(tmp_path / "a", 2)
    assert scale_of(tmp_path / "a") == 2
    assert os.listdir(tmp_path) == ["a"]


def test_killed_saves_leave_the_old_or_the_new(tmp_path: Path):
    script = Path(__file__).with_name("killing.py")
    done = subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["calls"] > 15  # eight calls of fsync alone
    assert len(found["newest"]) == 20
    assert found["left"] == []
