"""The kills of `make soak`: a few of them, and what it takes for lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxdaw import training

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import soak  # noqa: E402  a script, which is no package


def test_a_few_kills_lose_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "soak.py"), "--fork", "--kills", "2", "--kinds", "bandit from a log"],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 kills, 0 faults" in done.stdout


def test_every_algorithm_is_killed():
    assert {kind.algorithm for kind in soak.KINDS} == set(training.ALGORITHMS)


@pytest.fixture
def run(tmp_path):
    """A run with two checkpoints and three rows before the newest."""
    rows = [json.dumps({"kind": "train", "step": step, "seconds": 0.1}) + "\n" for step in (1, 2, 3, 4)]
    checkpointer = training.Checkpointer(tmp_path / "run" / "checkpoints")
    checkpointer.save(2, {}, {"metrics": [len("".join(rows[:2]))]})
    checkpointer.save(3, {}, {"metrics": [len("".join(rows[:3]))]})
    (tmp_path / "run" / "metrics.jsonl").write_text("".join(rows))
    return tmp_path / "run"


def test_a_kill_that_loses_nothing_is_no_fault(run):
    known = {}
    assert soak.faults_after_kill(run, known) == []
    assert known[run][0] == 3
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "tra')  # cut by the kill
    assert soak.faults_after_kill(run, known) == []


def test_rows_and_checkpoints_that_are_lost_are_told(run):
    known = {}
    soak.faults_after_kill(run, known)
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:2]))
    assert any("rows that stood before a checkpoint are gone" in fault for fault in soak.faults_after_kill(run, known))
    (run / "metrics.jsonl").write_text("".join(lines))
    for arrays in run.glob("checkpoints/*/arrays.safetensors"):
        arrays.write_bytes(b"")
    assert soak.faults_after_kill(run, known) == ["run: no checkpoint is whole"]


def test_rows_twice_and_leftovers_are_told(run):
    assert soak.faults_at_end(run, False) == []
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "step": 3}\n')
    (run / ".metrics.tmp").touch()
    told = " ".join(soak.faults_at_end(run, False))
    assert all(part in told for part in ("stands twice", "out of order", "leftover .metrics.tmp"))
