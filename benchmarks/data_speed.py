"""What recording an episode costs, and how fast a million transitions are read, beside `numpy.load` of raw arrays.

Run: python benchmarks/data_speed.py [--steps 1000000]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxdaw import data
from jaxdaw.specs import BoundedTensorSpec, TensorSpec

OBSERVATION_SPEC, ACTION_SPEC = TensorSpec((17,), np.float32), BoundedTensorSpec((6,), np.float32, -1, 1)
EPISODE_STEPS = 500


def episode(random: np.random.Generator) -> data.Episode:
    return data.Episode(
        random.normal(size=(EPISODE_STEPS + 1, 17)).astype(np.float32),
        random.uniform(-1, 1, (EPISODE_STEPS, 6)).astype(np.float32),
        random.normal(size=EPISODE_STEPS).astype(np.float32),
        truncated=True,
    )


def recording(directory: Path, count: int = 300) -> None:
    """Prints milliseconds of `add`, alone and with `flush`, which waits for the disk."""
    random = np.random.default_rng(0)
    made = [episode(random) for _ in range(20)]
    with data.DemonstrationWriter(directory / "recorded", OBSERVATION_SPEC, ACTION_SPEC) as writer:
        for label, flushes in (("add", False), ("add and flush", True)):
            times = []
            for index in range(count):
                start = time.perf_counter()
                writer.add(made[index % len(made)])
                if flushes:
                    writer.flush()
                times.append((time.perf_counter() - start) * 1e3)
                time.sleep(0.005)  # as long as an environment would take at least
            median, late, worst = np.quantile(times, [0.5, 0.9, 1])
            print(f"{label:32s} median {median:6.2f} ms   90 % {late:6.2f} ms   all {worst:6.2f} ms")


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def sum_of(found: data.Demonstrations) -> float:
    """Returns the sum of every recorded number: nothing is left on the disk."""
    return sum(
        float(np.sum(leaf))
        for _, run in found.runs()
        for leaf in (run.observation, run.action, run.reward)
        if leaf is not None
    )


def reading(directory: Path, steps: int, rounds: int) -> None:
    """Prints ratios of bytes a second, ours over that of `numpy.load` and a sum, of files in the page cache."""
    random = np.random.default_rng(0)
    episodes = steps // EPISODE_STEPS
    steps = episodes * EPISODE_STEPS
    arrays = {
        "obs": random.standard_normal((steps + episodes, 17), np.float32),
        "acts": random.random((steps, 6), np.float32),
        "rews": random.standard_normal(steps, np.float32),
    }
    for name, array in arrays.items():
        np.save(directory / f"{name}.npy", array)
    indices = np.arange(1, episodes) * EPISODE_STEPS
    rollouts, kept = directory / "rollouts.npz", directory / "kept"
    np.savez(rollouts, **arrays, indices=indices, terminal=np.ones(episodes, bool))
    data.convert(rollouts, kept)
    size = sum(array.nbytes for array in arrays.values())

    def raw() -> float:
        loaded = [np.load(directory / f"{name}.npy") for name in arrays]
        return sum(float(np.sum(array)) for array in loaded)

    ways: dict[str, Callable[[], object]] = {
        "rollouts.npz": lambda: sum_of(data.read_demonstrations(rollouts)),
        "directory": lambda: sum_of(data.read(kept)),
        "directory, verify=False": lambda: sum_of(data.read(kept, verify=False)),
        "directory, checked": lambda: (data.check(data.read(kept)), sum_of(data.read(kept))),
    }
    raw(), [way() for way in ways.values()]
    table = [[seconds(raw), *(seconds(way) for way in ways.values())] for _ in range(rounds)]
    times = np.array(table)
    print(f"\n{steps:,} transitions, {size / 1e6:.0f} MB in the page cache")
    fastest = times.min(axis=0)  # the median of a busy machine tells of its other work
    print(f"{'':32s}    fastest  ratio   median of the ratios")
    print(f"{'numpy.load and a sum':32s} {size / fastest[0] / 1e9:6.2f} GB/s")
    for label, column, best in zip(ways, times[:, 1:].T, fastest[1:], strict=True):
        ratios = times[:, 0] / column
        about = f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
        print(f"{label:32s} {size / best / 1e9:6.2f} GB/s   {fastest[0] / best:.2f}   {about}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        recording(Path(directory))
        reading(Path(directory), options.steps, options.rounds)


if __name__ == "__main__":
    main()
