"""Single files: replaced whole, opened only if they are files."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from jaxdaw.errors import StorageError
from jaxdaw.storage import damaged, opened, refuse_too_large, replace, sha256_of, write_failure


def test_a_failed_replacement_leaves_the_old_file_alone(tmp_path: Path):
    path = tmp_path / "a"
    replace(path, lambda file: file.write(b"old"))

    def fails(file):
        file.write(b"new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace(path, fails)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_replacement_may_be_read_back_while_it_is_written(tmp_path: Path):
    digests = []

    def write(file):
        file.write(b"jackdaw")
        digests.append(sha256_of(file))

    replace(tmp_path / "a", write)
    assert digests == [hashlib.sha256(b"jackdaw").hexdigest()]


@pytest.mark.parametrize(
    ("make", "got"),
    [
        (lambda path: None, "No such file"),
        (os.mkdir, "a device, pipe or directory"),
        (os.mkfifo, "a device, pipe or directory"),
        (lambda path: os.symlink(os.devnull, path), "a device, pipe or directory"),
    ],
)
def test_only_files_are_opened(make, got: str, tmp_path: Path):
    make(tmp_path / "a")
    with pytest.raises(StorageError, match=f"cannot read .*a\n.*got  {got}"):
        opened(tmp_path / "a")


def test_links_are_followed_unless_they_may_not(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with opened(tmp_path / "b") as file:
        assert file.read() == b"x"
    with pytest.raises(StorageError, match="got  a symbolic link"):
        opened(tmp_path / "b", follow_links=False)


def test_a_name_that_no_file_has_is_a_storage_error():
    with pytest.raises(StorageError, match="null"):
        opened(Path("a\0b"))


def test_errors_name_the_file_and_what_to_do(tmp_path: Path):
    assert "a is truncated or damaged" in str(damaged(tmp_path / "a", "x", "y"))
    with pytest.raises(StorageError, match="limit_bytes=10"):
        refuse_too_large(tmp_path / "a", 10, 9)
    refuse_too_large(tmp_path / "a", 10, 10)
    full = write_failure(tmp_path / "absent" / "a", OSError(errno.ENOSPC, "x"), "nothing is lost", 12)
    assert "nothing is lost" in str(full)
    assert "expected  12 bytes free" in str(full)
    assert "Fix: free some space" in str(full)
