"""What `import jaxdaw` costs beyond its foundations, as whole processes in turn.

Run: python benchmarks/import_time.py
"""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np

BASE = "import jax, flax.nnx, optax"
EVERYTHING = "import jax, flax.nnx, optax, jaxdaw, jaxdaw.agents, jaxdaw.training"


def seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def main(rounds: int = 7) -> None:
    table = {code: [] for code in (BASE, f"{BASE}, jaxdaw", EVERYTHING)}
    for code in table:
        seconds(code)
    for _ in range(rounds):
        for code, times in table.items():
            times.append(seconds(code))
    for code, times in table.items():
        extra = np.array(times) - np.array(table[BASE])
        print(
            f"{code:80s} {np.median(times):.2f} s   "
            f"extra {np.median(extra):+.2f} s ({extra.min():+.2f} to {extra.max():+.2f})"
        )


if __name__ == "__main__":
    main()
