"""The suite for replays finds each fault, each with the one check that is made for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jaxdaw.replay import HostReplay, UniformReplay, WindowIndices
from jaxdaw.testing import REPLAY_CHECKS, HoldsState

from .mutants import found_by


class CrossesTheCursor(HostReplay):
    def sample(self, batch_size: int, num_steps: int, generator: np.random.Generator) -> Any:
        frames, info = super().sample(batch_size, num_steps, generator)
        if self.size == self.length * self.num_envs and num_steps == 3:
            frames["time"][:, -1] = min(self.times)
        return frames, info


class ForgetsTheNewest(HostReplay):
    def sample(self, batch_size: int, num_steps: int, generator: np.random.Generator) -> Any:
        frames, info = super().sample(batch_size, num_steps, generator)
        if num_steps == 2 and batch_size == 8:
            starts = self.window_starts(num_steps)
            time = np.where(info.indices.time == starts[-1], starts[0], info.indices.time)
            frames = self.gather(WindowIndices(info.indices.env, time), num_steps)
        return frames, info


class OneSeed(HostReplay):
    def sample(self, batch_size: int, num_steps: int, generator: np.random.Generator) -> Any:
        return super().sample(batch_size, num_steps, np.random.default_rng(0) if batch_size == 32 else generator)


class WrongProbabilities(HostReplay):
    def sample(self, batch_size: int, num_steps: int, generator: np.random.Generator) -> Any:
        frames, info = super().sample(batch_size, num_steps, generator)
        return frames, info._replace(probabilities=np.ones(batch_size, np.float32))


class Broadcasts(HostReplay):
    def add(self, frames: Any) -> None:
        env = np.broadcast_to(np.asarray(frames["env"])[: self.num_envs], self.num_envs)
        super().add({"env": env, "time": np.broadcast_to(frames.get("time", env)[: self.num_envs], self.num_envs)})


@pytest.mark.parametrize(
    ("make", "checks"),
    [
        (HostReplay, []),
        (lambda *arguments: HoldsState(UniformReplay(*arguments)), []),
        (CrossesTheCursor, ["windows_are_consecutive_frames_of_one_environment"]),
        (ForgetsTheNewest, ["every_window_is_drawn"]),
        (OneSeed, ["seed_decides"]),
        (WrongProbabilities, ["probabilities_are_those_of_the_draw"]),
        (Broadcasts, ["frames_that_do_not_fit_are_refused"]),
    ],
)
def test_each_fault_is_found_by_its_check(make: Any, checks: list[str]):
    assert found_by(REPLAY_CHECKS, make) == checks
