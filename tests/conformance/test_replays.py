"""Every replay through one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jaxdaw import testing
from jaxdaw.replay import HostReplay, PrioritizedReplay, UniformReplay


class Prioritized(PrioritizedReplay):
    def sample(self, batch_size: int, num_steps: int, generator: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().sample(batch_size, num_steps, 0.5, generator)


REPLAYS: dict[str, Callable[..., testing.StatefulReplay]] = {
    "uniform": lambda spec, capacity, num_envs: testing.HoldsState(UniformReplay(spec, capacity, num_envs)),
    "host": HostReplay,
    "prioritized": Prioritized,
}


@pytest.mark.parametrize("check", testing.REPLAY_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", REPLAYS)
def test_replay_conforms(name: str, check: Callable[[Any], None]):
    check(REPLAYS[name])
