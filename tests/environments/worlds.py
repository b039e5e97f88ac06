"""Small Gymnasium environments with known behaviour, sound and broken."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import SyncVectorEnv

TERMINATED, CUT, BOTH = "terminated", "cut", "both"


class Edge(NamedTuple):
    """One thing that really happened: an action in a state, and what it led to."""

    observation: int
    action: int
    reward: float
    following: int
    ending: str | None


class Unique(gymnasium.Env):
    """Never shows the same observation twice, in any row; remembers every start and every edge.

    Episode e of row i takes `2 + (e + i) % 3` actions, and terminates, is cut, or both, in turn.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  as Gymnasium writes it
    observation_space = Box(0, 1e6, (2,), np.float32)
    action_space = Discrete(5)

    def __init__(
        self, counter: Any, starts: set, edges: list, row: int = 0, endings: tuple[str, ...] = (TERMINATED, CUT, BOTH)
    ):
        self._counter, self._starts, self._edges, self._row, self._endings = counter, starts, edges, row, endings
        self._episode = -1
        self._now = -1

    def _observation(self) -> np.ndarray:
        self._now = next(self._counter)
        return np.array([self._now, self._row], np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        super().reset(seed=seed)
        self._episode += 1
        self._time = 0
        observation = self._observation()
        self._starts.add(self._now)
        return observation, {}

    def step(self, action: Any) -> Any:
        before, self._time = self._now, self._time + 1
        observation, reward = self._observation(), float(self._now) / 8
        ending = (
            self._endings[self._episode % len(self._endings)]
            if self._time == 2 + (self._episode + self._row) % 3
            else None
        )
        self._edges.append(Edge(before, int(action), reward, self._now, ending))
        return observation, reward, ending in (TERMINATED, BOTH), ending in (CUT, BOTH), {}


class Opaque(SyncVectorEnv):
    """A vector environment whose rows cannot be stepped from outside, as far as the adapter knows."""


def unique_makers(rows: int) -> tuple[list[Any], set, list]:
    counter, starts, edges = itertools.count(1), set(), []
    makers = [lambda row=row: Unique(counter, starts, edges, row) for row in range(rows)]
    return makers, starts, edges


class Base(gymnasium.Env):
    """Sound: four actions long, observation float32 [2] in +-1, reward 1."""

    metadata = {"render_modes": []}  # noqa: RUF012
    observation_space: Any = Box(-1, 1, (2,), np.float32)
    action_space: Any = Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        super().reset(seed=seed)
        self._time = 0
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        self._time += 1
        return self._observation(), 1.0, self._time >= 4, False, {}

    def _observation(self) -> Any:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)


class Raising(Base):
    """Divides by zero at its third step."""

    def step(self, action: Any) -> Any:
        1 // (2 - self._time)
        return super().step(action)


class RaisingReset(Base):
    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        raise KeyError("asset")


class FourValues(Base):
    def step(self, action: Any) -> Any:
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, info


class BareReset(Base):
    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        return super().reset(seed=seed)[0]


class PairObservation(Base):
    """Hands on what reset() returned as an observation."""

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        return super().reset(seed=seed), {}


class Mutating(Base):
    """Writes into the one array that it returns."""

    _array = None

    def _observation(self) -> Any:
        if self._array is None:
            self._array = np.zeros(2, np.float32)
        self._array[:] = self._time / 8
        return self._array


class Endless(Base):
    def step(self, action: Any) -> Any:
        return self._observation(), 1.0, False, False, {}


class AtOnce(Base):
    def step(self, action: Any) -> Any:
        return self._observation(), 1.0, True, False, {}


class ShapeChanges(Base):
    """Another shape from the third step of an episode on."""

    def _observation(self) -> Any:
        return np.zeros(2 if self._time < 3 else 3, np.float32)


class ExtraDimension(Base):
    def _observation(self) -> Any:
        return np.zeros((1, 2), np.float32)


class NotFinite(Base):
    def _observation(self) -> Any:
        return np.array([0.0, np.nan if self._time == 2 else 0.0], np.float32)


class OutOfBounds(Base):
    def _observation(self) -> Any:
        return np.array([0.0, 1.7 if self._time == 2 else 0.0], np.float32)


class IntegerOutOfBounds(Base):
    observation_space: Any = Discrete(3)

    def _observation(self) -> Any:
        return self._time


class Double(Base):
    """Declares and returns float64; so does its action space."""

    observation_space: Any = Box(-1, 1, (2,), np.float64)
    action_space: Any = Box(-0.7, 0.7, (1,), np.float64)

    def _observation(self) -> Any:
        return np.array([0.1, 0.2])

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        return super().step(action)


class Converted(Base):
    """Declares float32, returns float64."""

    def _observation(self) -> Any:
        return np.array([0.1, 0.2])


class Printing(Base):
    def step(self, action: Any) -> Any:
        print("stepping")
        return super().step(action)


class CloseRaises(Base):
    def close(self) -> None:
        raise OSError("window already gone")


class Reward(Base):
    """Gives the reward that it was told to give, at the second step of each episode."""

    def __init__(self, reward: Any):
        self._reward = reward

    def step(self, action: Any) -> Any:
        observation, _, *rest = super().step(action)
        return observation, self._reward if self._time == 2 else 1.0, *rest


class Flag(Base):
    """Gives a `terminated` that is no bool."""

    def step(self, action: Any) -> Any:
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, "no", truncated, info


class Unseeded(Base):
    def _observation(self) -> Any:
        return np.random.default_rng().uniform(-1, 1, 2).astype(np.float32)


class GlobalRandom(Base):
    def _observation(self) -> Any:
        return np.random.uniform(-1, 1, 2).astype(np.float32)  # noqa: NPY002  the point


class NoSpaces(Base):
    action_space: Any = None


class NoMetadata(Base):
    metadata = {}  # noqa: RUF012


class Nested(Base):
    """Dict observations and actions."""

    observation_space: Any = gymnasium.spaces.Dict(
        {"camera": Box(0, 255, (2, 2, 1), np.uint8), "speed": Box(-1, 1, (), np.float32)}
    )
    action_space: Any = gymnasium.spaces.Dict({"gear": Discrete(3, start=-1), "wheel": Box(-1, 1, (2,), np.float32)})

    def _observation(self) -> Any:
        return {"camera": np.full((2, 2, 1), self._time, np.uint8), "speed": np.float32(self._time / 8)}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        return super().step(action)


class WrongKeys(Nested):
    def _observation(self) -> Any:
        return {"camera": np.zeros((2, 2, 1), np.uint8), "velocity": np.float32(0)}


class Shifted(Base):
    """Discrete(3, start=-1): the action is told back in the observation."""

    action_space: Any = Discrete(3, start=-1)
    _last = 0

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        self._last = int(action)
        return super().step(action)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        self._last = 0
        return super().reset(seed=seed)

    def _observation(self) -> Any:
        return np.array([self._last, 0], np.float32)


ACTION_SPACES: dict[str, gymnasium.Space] = {
    "scalar": Discrete(3, start=-1),
    "vector": gymnasium.spaces.MultiDiscrete([2, 3, 4]),
    "float": Box(-0.5, 0.5, (), np.float32),
    "floats": Box(np.float32([-1, 0]), np.float32([1, 0.5])),
    "doubles": Box(-2.0, 2.0, (1,), np.float64),
    "nested": gymnasium.spaces.Dict({"gear": Discrete(3, start=1), "wheel": Box(-1, 1, (2,), np.float32)}),
    "pair": gymnasium.spaces.Tuple((Discrete(2), Box(-1, 1, (1,), np.float32))),
}


class Acting(Base):
    """Three actions long, or endless; refuses an action that is not in its space, and draws in every mode."""

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 50}  # noqa: RUF012

    def __init__(self, kind: str = "scalar", render_mode: str | None = None, endless: bool = False):
        self.action_space, self.render_mode, self._endless = ACTION_SPACES[kind], render_mode, endless
        self.is_closed = False

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        self._time += 1
        return self._observation(), 1.0, self._time >= 3 and not self._endless, False, {}

    def render(self) -> Any:
        if self.render_mode == "ansi":
            return f"step {self._time}"
        return np.full((4, 8, 3), 10 * (self._time % 23), np.uint8)

    def close(self) -> None:
        self.is_closed = True


class TextOnly(Acting):
    """Draws text only."""

    metadata = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012
