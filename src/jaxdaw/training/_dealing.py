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


def waits_for_cores(program: jax.stages.Lowered) -> bool:
    """Returns whether a program may deadlock beside another one in another host thread.

    jaxlib's LAPACK kernels (qr, cholesky, triangular_solve, ...) run on a thread of XLA's pool, which has one thread
    for each core. They hand the matrices of a batch to the same pool, and block until these are done: that is
    `jax::ParallelBatchMap` in jaxlib/cpu/lapack_kernels.cc, which waits on a counter. As soon as the programs of
    several host threads have put such a kernel on every thread of the pool, none is left to do their work, and all
    wait forever. Such programs have to run one after the other. They lose little: each spreads its matrices over the
    cores.
    """
    return jax.default_backend() == "cpu" and "lapack" in program.as_text()


def cores() -> int:
    """Returns the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
