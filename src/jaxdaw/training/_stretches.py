"""How the rounds of a run of a bandit are cut into compiled programs."""

from __future__ import annotations

import math


class Stretches:
    """How the rounds of a run are cut: some at the start that are learned from one by one, then equal chunks.

    A chunk is one compiled program, so all have to be alike: what does not come out even is added to the start.

    Attributes:
      eager: rounds at the start.
      chunks: how many follow.
      phases: learning phases in each.
      tail: rounds at the end that are learned from one by one again; 0 unless `aligned`.

    Args:
      rounds, eager, learn_every, reports: as in `BanditConfig`.
      aligned: whether chunks have to begin at a multiple of `learn_every`, for a memory that begins anew there.
    """

    def __init__(self, rounds: int, eager: int, learn_every: int, reports: int, aligned: bool = False):
        eager = min(eager, rounds)
        phases = (rounds - eager) // learn_every
        candidates = range(max(1, reports // 2), reports + reports // 2 + 1)
        self.chunks = min(candidates, key=lambda c: (phases % c if phases >= c else math.inf, abs(c - reports)))
        if phases < self.chunks:
            self.chunks = max(phases, 0)
        self.phases = phases // self.chunks if self.chunks else 0
        self.eager = rounds - self.chunks * self.phases * learn_every
        self.tail = self.eager % learn_every if aligned else 0
        self.eager -= self.tail
