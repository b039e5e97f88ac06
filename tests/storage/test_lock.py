"""One run in a directory."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from jaxdaw.errors import StorageError
from jaxdaw.storage import DirectoryLock

HOST = socket.gethostname()


def gone() -> int:
    """Returns the number of a process that has ended."""
    return int(subprocess.run(["sh", "-c", "echo $$"], capture_output=True, check=True, text=True).stdout)


def test_lock_names_its_process_and_goes_with_it(tmp_path: Path):
    with DirectoryLock(tmp_path / "run"):
        owner = json.loads((tmp_path / "run" / ".lock").read_text())
        assert owner.items() >= {"pid": os.getpid(), "host": HOST}.items()
    assert not (tmp_path / "run").exists()  # it was made for the lock, and nothing was written into it
    with DirectoryLock(tmp_path / "run"):
        pass


def test_second_lock_is_refused_and_the_first_stays(tmp_path: Path):
    with DirectoryLock(tmp_path):
        for _ in range(2):
            with (
                pytest.raises(
                    StorageError, match=rf"in use by another run\n.*got  process {os.getpid()} on {HOST} since 2"
                ),
                DirectoryLock(tmp_path),
            ):
                pytest.fail("entered a held directory")


def test_lock_of_another_process_is_refused_until_it_is_killed(tmp_path: Path):
    code = (
        "import fcntl, json, os, sys, time\n"
        "file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX)\n"
        "json.dump({'pid': os.getpid(), 'host': sys.argv[2]}, file); file.flush()\n"
        "print('held', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-S", "-c", code, str(tmp_path / ".lock"), HOST]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StorageError, match=f"got  process {holder.pid} on {HOST}"), DirectoryLock(tmp_path):
            pytest.fail("entered a held directory")
        holder.send_signal(signal.SIGKILL)
    with DirectoryLock(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": 1}', '{"pid": "x", "host": "%s"}'])
def test_lock_file_that_nobody_holds_is_taken_over_whatever_is_in_it(text: str, tmp_path: Path):
    (tmp_path / ".lock").write_text(text.replace("%s", HOST))
    with DirectoryLock(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_lock_of_a_process_whose_number_was_given_again_is_taken_over(tmp_path: Path):
    (tmp_path / ".lock").write_text(json.dumps({"pid": os.getppid(), "host": HOST}))  # alive, but it holds nothing
    with DirectoryLock(tmp_path):
        pass


def test_lock_of_another_host_is_refused_and_the_remedy_named(tmp_path: Path):
    (tmp_path / ".lock").write_text(json.dumps({"pid": 7, "host": "elsewhere"}))
    with pytest.raises(StorageError, match=r"process 7 on elsewhere(?s:.*)rm /.*/\.lock"), DirectoryLock(tmp_path):
        pytest.fail("entered a held directory")
    assert json.loads((tmp_path / ".lock").read_text())["host"] == "elsewhere"


@pytest.mark.parametrize(("pid", "free"), [(os.getppid(), False), (gone(), True)], ids=["alive", "gone"])
def test_file_system_without_locks_goes_by_the_process(
    pid: int, free: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    (tmp_path / ".lock").write_text(json.dumps({"pid": pid, "host": HOST}))
    if free:
        with DirectoryLock(tmp_path):
            assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    else:
        with pytest.raises(StorageError, match=f"process {pid}"), DirectoryLock(tmp_path):
            pytest.fail("entered a held directory")


def test_forked_child_holds_nothing(tmp_path: Path):
    code = (
        "import os, sys, time\n"
        "from jaxdaw.storage import DirectoryLock\n"
        "lock = DirectoryLock(sys.argv[1]); lock.__enter__()\n"
        "if os.fork() == 0:\n"
        "    lock.__exit__(); print(os.path.exists(sys.argv[1] + '/.lock'), flush=True); time.sleep(60)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == "True\n"  # the child's exit does not remove its parent's lock
            with pytest.raises(StorageError, match="in use"), DirectoryLock(tmp_path):
                pytest.fail("entered a held directory")
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            with DirectoryLock(tmp_path):  # although the child lives on
                pass
        finally:
            os.killpg(holder.pid, signal.SIGKILL)


def test_directory_that_cannot_be_made_is_a_storage_error(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot lock"), DirectoryLock(tmp_path / "file"):
        pytest.fail("entered a file")


def test_directories_made_for_the_lock_are_removed_if_they_stay_empty(tmp_path: Path):
    with DirectoryLock(tmp_path / "a" / "b"):
        pass
    assert os.listdir(tmp_path) == []
    with DirectoryLock(tmp_path / "a" / "b"):
        (tmp_path / "a" / "kept").touch()
    assert os.listdir(tmp_path / "a") == ["kept"]
    (tmp_path / "c").mkdir()
    with DirectoryLock(tmp_path / "c"):
        pass
    assert (tmp_path / "c").is_dir()  # it was there before


def test_the_message_names_what_holds_the_directory(tmp_path: Path):
    lock = DirectoryLock(tmp_path, "writer")
    lock.acquire()
    with pytest.raises(StorageError, match="in use by another writer\n  expected  one writer in a directory"):
        DirectoryLock(tmp_path, "writer").acquire()
    assert lock.is_held
    lock.release()
    lock.release()
    assert not lock.is_held
