"""Every replay through one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import pytest

from jaxdaw import testing
from jaxdaw.replay import HostReplay, PrioritizedReplay, PurePrioritizedReplay, UniformReplay


class Prioritized(PrioritizedReplay):
    def sample(self, batch_size: int, num_steps: int, generator: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().sample(batch_size, num_steps, 0.5, generator)


class PurePrioritized:
    """A pure prioritized replay holds windows of one length: this keeps one replay for each."""

    def __init__(self, frame_spec: Any, capacity: int, num_envs: int):
        made = (PurePrioritizedReplay(frame_spec, capacity, num_envs, num_steps) for num_steps in (1, 2, 3))
        self._held = {replay.num_steps: (replay, replay.init()) for replay in made}

    def add(self, frames: Any) -> None:
        self._held = {n: (replay, _add(replay, state, frames)) for n, (replay, state) in self._held.items()}

    def sample(self, batch_size: int, num_steps: int, generator: Any) -> Any:
        replay, state = self._held[num_steps]
        replay.check_can_sample(state, batch_size)
        return _sample(replay, state, jax.random.key(generator.integers(2**31)), batch_size)


_add = jax.jit(lambda replay, state, frames: replay.add(state, frames), static_argnums=0)
_sample = jax.jit(lambda replay, state, key, n: replay.sample(state, key, n, 0.5), static_argnums=(0, 3))

REPLAYS: dict[str, Callable[..., testing.StatefulReplay]] = {
    "uniform": lambda spec, capacity, num_envs: testing.HoldsState(UniformReplay(spec, capacity, num_envs)),
    "host": HostReplay,
    "prioritized": Prioritized,
    "pure prioritized": PurePrioritized,
}


@pytest.mark.parametrize("check", testing.REPLAY_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", REPLAYS)
def test_replay_conforms(name: str, check: Callable[[Any], None]):
    check(REPLAYS[name])
