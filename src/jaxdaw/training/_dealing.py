"""Seeds dealt to the cores: a population on a CPU is several programs, of which each core runs one at a time."""

from __future__ import annotations

import math
import os

import jax


def num_programs(seeds: int, together: int) -> int:
    """Returns how many programs share the seeds of a population: a multiple of the cores, and no more than the seeds.

    Args:
      seeds: in all.
      together: what one program may hold on a CPU. More of them no longer fit a core's cache, fewer leave its vector
        units idle.
    """
    if jax.default_backend() != "cpu":
        return 1
    return min(math.ceil(seeds / (cores() * together)) * cores(), seeds)


def cores() -> int:
    """Returns the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
