"""Saves in child processes that are killed. Run by test_saved.py; prints what it found as JSON.

    python killing.py DIRECTORY

Children only touch NumPy arrays and files, so forking a process that has imported JAX, and started nothing, is safe.
"""

import json
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from jaxdaw.training import Checkpointer
from jaxdaw.training._checkpoint import load_tree, save_tree


def tree(step: int) -> dict[str, np.ndarray]:
    return {"large": np.full(50_000, step), "small": np.full(3, step)}


def step_of(found: dict[str, np.ndarray]) -> int:
    (step,) = {int(value) for array in found.values() for value in np.unique(array)}  # a mixture has two
    return step


def save_both(directory: Path, step: int) -> None:
    save_tree(directory / "same", tree(step), {"step": step})
    Checkpointer(directory / "run").save(step, tree(step), {"step": step})


def saved_both(directory: Path) -> tuple[int, int]:
    """Returns the steps that load; raises if one does not, or loads with a warning."""
    found, metadata = load_tree(directory / "same", tree(0))
    step, kept, _ = Checkpointer(directory / "run").restore(tree(0), strict=True)
    assert step_of(found) == metadata["step"]
    assert step_of(kept) == step
    return metadata["step"], step


def killed_at_random(directory: Path, times: int) -> list[int]:
    """Returns the newest step after each kill of a process that saves in a loop."""
    save_both(directory, 0)
    steps = []
    for _ in range(times):
        before = saved_both(directory)
        step = max(before)
        child = os.fork()
        if child == 0:
            while True:
                step += 1
                save_both(directory, step)
        time.sleep(random.uniform(0.002, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        after = saved_both(directory)
        assert after[0] >= before[0]
        assert after[1] >= before[1]
        steps.append(max(after))
    return steps


def die_before(call: int) -> None:
    """Ends this process, as a kill would, before so many more calls that change the disk."""
    left = [call]

    def deadly(function):
        def counted(*args, **kwargs):
            if left[0] == 0:
                os._exit(9)
            left[0] -= 1
            return function(*args, **kwargs)

        return counted

    for name in ("fsync", "mkdir", "rename", "rmdir", "unlink"):
        setattr(os, name, deadly(getattr(os, name)))


def killed_at_every_call(directory: Path) -> int:
    """Returns how many calls it takes to save after a kill before each of the calls, one later every time."""
    save_both(directory, 1)
    save_both(directory, 2)
    call = 0
    while True:
        before = saved_both(directory)
        step = max(before) + 1
        child = os.fork()
        if child == 0:
            die_before(call)
            save_both(directory, step)
            os._exit(0)
        survived = os.waitpid(child, 0)[1] == 0
        after = saved_both(directory)
        assert all(new in (old, step) for old, new in zip(before, after, strict=True))
        if survived:
            assert after == (step, step)
            return call
        call += 1


if __name__ == "__main__":
    warnings.simplefilter("error")
    root = Path(sys.argv[1])
    random.seed(0)
    calls = killed_at_every_call(root / "every")
    newest = killed_at_random(root / "random", 20)
    save_both(root / "random", newest[-1] + 1)
    left = sorted(str(path.relative_to(root)) for path in root.rglob(".*"))
    print(json.dumps({"calls": calls, "newest": newest, "left": left}))
