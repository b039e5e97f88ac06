"""Two things timed in turn, so that a drifting machine moves both."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np


def ratio_rounds(
    label: str, raw: Callable[[], int], ours: Callable[[], int], rounds: int = 15, unit: str = "us"
) -> float:
    """Prints and returns the median ratio of time per call, ours over raw; each returns how many calls it made."""
    raw(), ours()
    times = []
    for index in range(rounds):
        pair = {}
        for name, run in (("raw", raw), ("ours", ours)) if index % 2 else (("ours", ours), ("raw", raw)):
            start = time.perf_counter()
            calls = run()
            pair[name] = (time.perf_counter() - start) / calls * 1e6
        times.append((pair["raw"], pair["ours"]))
    table = np.array(times)
    ratios = table[:, 1] / table[:, 0]
    a, b = np.median(table, axis=0)
    print(
        f"{label:32s} {a:8.1f}  {b:9.1f}   {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})",
        flush=True,
    )
    return float(np.median(ratios))
