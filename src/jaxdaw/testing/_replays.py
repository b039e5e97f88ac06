"""Conformance suite for replays, on the device or on the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import jax
import numpy as np

from jaxdaw import specs
from jaxdaw.errors import JaxdawError
from jaxdaw.replay import ReplaySample, UniformReplay

_SPEC = {"env": specs.TensorSpec((), np.int32), "time": specs.TensorSpec((), np.int32)}


class StatefulReplay(Protocol):
    """A replay that keeps its contents itself, as `HostReplay` does."""

    def add(self, frames: Any) -> None:
        """Stores one frame of every environment, `[num_envs, ...]`."""
        ...

    def sample(self, batch_size: int, num_steps: int, generator: np.random.Generator) -> tuple[Any, ReplaySample]:
        """Returns windows `[batch_size, num_steps, ...]`, and how they were drawn."""
        ...


Make = Callable[[Any, int, int], StatefulReplay]


class HoldsState:
    """A pure replay, with its state, as a `StatefulReplay`."""

    def __init__(self, replay: UniformReplay):
        self.replay, self.state = replay, replay.init()
        self._add = jax.jit(replay.add, donate_argnums=0)
        self._sample = jax.jit(replay.sample, static_argnums=(2, 3))

    def add(self, frames: Any) -> None:
        """Stores one frame of every environment, `[num_envs, ...]`."""
        self.state = self._add(self.state, frames)

    def sample(self, batch_size: int, num_steps: int, generator: np.random.Generator) -> tuple[Any, ReplaySample]:
        """Returns windows `[batch_size, num_steps, ...]`, and how they were drawn."""
        self.replay.check_can_sample(self.state, batch_size, num_steps)
        return self._sample(self.state, jax.random.key(generator.integers(2**31)), batch_size, num_steps)


def windows_are_consecutive_frames_of_one_environment(make: Make) -> None:
    """No window crosses from the newest frame to the oldest, or between environments, however full the ring is."""
    for num_envs, num_steps in ((1, 1), (1, 3), (3, 2)):
        replay = make(_SPEC, 6 * num_envs, num_envs)
        for time in range(20):
            replay.add(_frame(time, num_envs))
            if time + 1 < num_steps:
                continue
            frames = _draws(replay, num_steps, batches=20, batch_size=1)
            env, times = frames["env"], frames["time"]
            assert np.all(env == env[:, :1]), "a window mixes environments"
            assert np.all(times == times[:, :1] + np.arange(num_steps)), f"not consecutive: {times.tolist()[:3]}"
            assert times.max() <= time, "a frame that was never written"
            assert times.min() > time - 6, "a frame that was replaced"


def every_window_is_drawn(make: Make) -> None:
    """All windows that the ring holds are drawn, equally often while nothing makes them differ."""
    replay = make(_SPEC, 10, 2)
    for time in range(13):
        replay.add(_frame(time, 2))
    frames = _draws(replay, 2, batches=1000, batch_size=8)
    starts, counts = np.unique(frames["time"][:, 0] * 2 + frames["env"][:, 0], return_counts=True)
    assert len(starts) == 8, f"{len(starts)} of 8 windows are drawn"
    assert ((counts - 1000.0) ** 2 / 1000).sum() < 30, f"windows are drawn {counts} times"


def seed_decides(make: Make) -> None:
    """The same generator draws the same windows, another draws others."""
    replay = make(_SPEC, 100, 1)
    for time in range(100):
        replay.add(_frame(time, 1))
    one, again, other = (np.asarray(replay.sample(32, 2, np.random.default_rng(s))[0]["time"]) for s in (0, 0, 1))
    assert np.array_equal(one, again), "one seed drew two batches"
    assert not np.array_equal(one, other), "two seeds drew one batch"


def probabilities_are_those_of_the_draw(make: Make) -> None:
    """`ReplaySample.probabilities` are the chances of the windows: equal ones, that sum to 1 over all windows."""
    replay = make(_SPEC, 12, 1)
    for time in range(12):
        replay.add(_frame(time, 1))
    _, info = replay.sample(8, 3, np.random.default_rng(0))
    np.testing.assert_allclose(info.probabilities, 0.1, rtol=1e-5)


def frames_that_do_not_fit_are_refused(make: Make) -> None:
    """A missing leaf or another shape raises, and nothing is stored."""
    replay = make(_SPEC, 8, 2)
    for time in range(3):
        replay.add(_frame(time, 2))
    for wrong in ({"env": np.zeros(2, np.int32)}, _frame(0, 3)):
        _must_refuse(lambda wrong=wrong: replay.add(wrong), "a frame that does not fit was stored")
    times = _draws(replay, 1, batches=10, batch_size=6)["time"]
    assert set(times.ravel().tolist()) == {0, 1, 2}, "a refused frame was stored"


def sampling_too_early_is_refused(make: Make) -> None:
    """Sampling more windows than are held raises, and never returns zeros."""
    replay = make(_SPEC, 8, 1)
    _must_refuse(lambda: replay.sample(1, 1, np.random.default_rng(0)), "an empty replay gave a sample")
    replay.add(_frame(0, 1))
    _must_refuse(lambda: replay.sample(1, 2, np.random.default_rng(0)), "one frame gave a window of two")


REPLAY_CHECKS: tuple[Callable[[Make], None], ...] = (
    windows_are_consecutive_frames_of_one_environment,
    every_window_is_drawn,
    seed_decides,
    probabilities_are_those_of_the_draw,
    frames_that_do_not_fit_are_refused,
    sampling_too_early_is_refused,
)
"""Each takes `make(frame_spec, capacity, num_envs)`; put a pure replay into `HoldsState`."""


def _frame(time: int, num_envs: int) -> dict[str, np.ndarray]:
    return {"env": np.arange(num_envs, dtype=np.int32), "time": np.full(num_envs, time, np.int32)}


def _draws(replay: StatefulReplay, num_steps: int, *, batches: int, batch_size: int) -> dict[str, np.ndarray]:
    """Returns several batches as one; a batch is at most as large as the number of windows."""
    drawn = [replay.sample(batch_size, num_steps, np.random.default_rng(seed))[0] for seed in range(batches)]
    return {key: np.concatenate([np.asarray(frames[key]) for frames in drawn]) for key in _SPEC}


def _must_refuse(call: Callable[[], Any], otherwise: str) -> None:
    try:
        call()
    except JaxdawError:
        return
    raise AssertionError(otherwise)
