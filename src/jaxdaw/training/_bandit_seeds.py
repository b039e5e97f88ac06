"""One loop of a bandit from several seeds: on a CPU dealt to the cores, elsewhere one `vmap`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.metrics import RegretState
from jaxdaw.training._bandit_loop import BanditLoop, OnlineState
from jaxdaw.training._dealing import cores, num_programs, waits_for_cores


class BanditSeeds:
    """The states of a loop's runs, and the programs that advance them.

    On a CPU the seeds are dealt to programs of one size, so that all are compiled once, and each core runs one at a
    time; where they do not come out even, the last seed is run again and not told of.

    Args:
      loop: what runs.
      seeds: one for each run; a single one has no axis for members anywhere.

    Attributes:
      states: of each program.
    """

    def __init__(self, loop: BanditLoop, seeds: Sequence[int]):
        self._loop, self._count, self._many = loop, len(seeds), len(seeds) > 1
        size = -(-len(seeds) // num_programs(len(seeds), _SEEDS_IN_CACHE))
        programs = -(-len(seeds) // size)
        places = np.minimum(np.arange(programs * size), len(seeds) - 1)
        keys = jnp.stack([jax.random.key(int(seeds[place])) for place in places]).reshape(programs, size)
        initialize = jax.jit(jax.vmap(loop.init) if self._many else loop.init)
        self.states: list[OnlineState] = [initialize(part if self._many else part[0]) for part in keys]
        self._compiled: dict[Any, Any] = {}
        self._threads = ThreadPoolExecutor(min(programs, cores()), "jaxdaw-seeds")
        self._in_turn = False

    def prepare(self, updates: np.ndarray, decisions: int) -> Any:
        """Compiles what `advance` runs with these arguments, unless that was done, and returns it."""
        kind = (len(updates), decisions, max(int(updates.max()), 1))

        def run(state: OnlineState, updates: jax.Array) -> tuple[OnlineState, RegretState]:
            return self._loop.run(state, updates, decisions, most=kind[2])

        if kind not in self._compiled:
            run = jax.vmap(run, in_axes=(0, None)) if self._many else run
            jitted = jax.jit(run, donate_argnums=0, compiler_options=self._loop.agent.compiler_options())
            lowered = jitted.lower(self.states[0], updates)
            self._in_turn |= waits_for_cores(lowered)
            self._compiled[kind] = lowered.compile()
        return self._compiled[kind]

    def advance(self, updates: np.ndarray, decisions: int) -> RegretState:
        """Runs learning phases, and returns the sums over their rounds as float64, of every seed.

        Args:
          updates: `[phases]` int32, gradient steps in each.
          decisions: as for `BanditLoop.run`.
        """
        program = self.prepare(updates, decisions)

        def advance(number: int) -> RegretState:
            self.states[number], sums = program(self.states[number], updates)
            return jax.device_get(sums)

        run = map if self._in_turn else self._threads.map
        told = list(run(advance, range(len(self.states))))
        return jax.tree.map(lambda *parts: np.asarray(self._together(parts), np.float64), *told)

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown()

    @property
    def counts(self) -> tuple[int, int]:
        """Gradient steps that were taken, and that were refused, by all seeds."""
        told = [jax.device_get((state.agent.train_step, state.refused)) for state in self.states]
        taken, refused = (int(np.sum(self._together(parts))) for parts in zip(*told, strict=True))
        return taken, refused

    @property
    def first(self) -> OnlineState:
        """The state of the first seed."""
        return jax.tree.map(lambda x: x[0], self.states[0]) if self._many else self.states[0]

    def _together(self, parts: Sequence[Any]) -> Any:
        return np.concatenate(parts)[: self._count] if self._many else parts[0]


_SEEDS_IN_CACHE = 16
"""Seeds in one program on a CPU."""
