"""The speed of cloning beside other libraries, each in an interpreter of its own, in turn, so that a drifting machine
moves all of them.

Run: python benchmarks/cloning_others.py --python imitation=PATH --python d3rlpy=PATH --python tf_agents=PATH

Measured with imitation 1.0.1, d3rlpy 2.8.1 (both on PyTorch) and TF-Agents 0.19 (TensorFlow 2.15, in
`common.function`). Each trains an MLP of (256, 256) by Adam on batches of 256: once the same batch over and over, once
an epoch over 100,000 steps by its own means, which TF-Agents does not have. Prints microseconds for each gradient step.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

WORKER = str(Path(__file__).with_name("cloning_others_worker.py"))
SHAPES = {"discrete": "8-(256, 256)-4", "continuous": "17-(256, 256)-6"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    interpreters = {"jaxdaw": sys.executable, **dict(item.split("=", 1) for item in options.python)}
    print(f"{'':36s} {'library':10s} us a step   ratio to jaxdaw (min, median, max over rounds)")
    for kind, shape in SHAPES.items():
        workers = {
            name: subprocess.Popen(
                [python, WORKER, name, kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for name, python in interpreters.items()
        }

        def ask(name: str, what: str, workers=workers, kind=kind) -> float:
            print(what, file=workers[name].stdin, flush=True)
            answer = workers[name].stdout.readline()
            if not answer:
                sys.exit(f"{name} failed: {interpreters[name]} {WORKER} {name} {kind}")
            return float(answer)

        for what in ("train", "epoch"):
            for name in workers:
                ask(name, what)  # compiles
            table = []
            for index in range(options.rounds):
                order = list(workers) if index % 2 else list(workers)[::-1]
                times = {name: ask(name, what) for name in order}
                table.append([times[name] for name in workers])
            rows = np.array(table).T
            for name, row in zip(workers, rows, strict=True):
                if np.isnan(row).any():
                    continue
                ratios = row / rows[0]
                print(
                    f"{what + ' ' + kind + ' ' + shape:36s} {name:10s} {np.median(row):9.0f}   "
                    f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})",
                    flush=True,
                )
        for worker in workers.values():
            worker.stdin.close()
            worker.wait()


if __name__ == "__main__":
    main()
