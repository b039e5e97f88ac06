"""check_environment: a table of sound and broken environments, and what is said of each."""

from __future__ import annotations

import dataclasses

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest

from environments import worlds
from jaxdaw import specs
from jaxdaw.environments import (
    CartPole,
    Catch,
    EpisodicEnvironment,
    GymnasiumEnvironment,
    JaxToHost,
    Recall,
    check_environment,
    find_faults,
)
from jaxdaw.errors import ConfigError, EnvironmentFault
from jaxdaw.trajectories import StepType


class Several(worlds.Base):
    """Three things wrong at once."""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros((1, 2), np.float32), {}

    def step(self, action):
        _, _, terminated, truncated, _ = super().step(action)
        return np.zeros(2, np.float32), float("nan"), terminated, truncated, None


SOUND = [
    lambda: gymnasium.make("CartPole-v1"),
    lambda: gymnasium.make("CartPole-v1", render_mode="rgb_array"),
    lambda: gymnasium.make("FrozenLake-v1"),
    lambda: gymnasium.make("MountainCar-v0", max_episode_steps=50),
    lambda: gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync"),
    lambda: gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="vector_entry_point"),
    lambda: GymnasiumEnvironment.make("CartPole-v1", 3),
    lambda: JaxToHost(Catch(), 2, seed=0),
    worlds.Base,
    worlds.Nested,
    worlds.Shifted,
    worlds.Double,
    CartPole,
    Catch,
    Recall,
]


@pytest.mark.parametrize("make", SOUND)
def test_a_sound_environment_has_no_faults(make):
    assert find_faults(make, steps=300) == []
    check_environment(make, steps=100)


def test_an_instance_is_not_closed():
    check_environment(worlds.CloseRaises(), steps=20)


FAULTS = [
    (worlds.Raising, ["raised ZeroDivisionError in Raising.step (worlds.py:", "3 times, first at step 3 of episode 1"]),
    (worlds.RaisingReset, ["raised KeyError"]),
    (worlds.FourValues, ["does not return five values", "got  4 values", "times, first at step 1 of episode 1"]),
    (worlds.BareReset, ["does not return two values"]),
    (worlds.PairObservation, ["is a pair"]),
    (worlds.Mutating, ["writes into an observation that it has returned", ".copy()"]),
    (worlds.ShapeChanges, ["expected  float32 (2,)          got  float32 (3,)"]),
    (worlds.ExtraDimension, ["extra leading dimension"]),
    (worlds.NotFinite, ["is not finite"]),
    (worlds.IntegerOutOfBounds, ["is out of range"]),
    (worlds.WrongKeys, ["velocity"]),
    (worlds.Flag, ["terminated of Flag.step() is not a bool"]),
    (worlds.CloseRaises, ["CloseRaises.close() raised OSError"]),
    (worlds.NoSpaces, ["declares no action_space"]),
    (lambda: worlds.Reward(np.nan), ["is not one finite number", "got  nan"]),
    (lambda: worlds.Reward(np.ones(1)), ["reward.item()"]),
    (lambda: worlds.Opaque([worlds.Base], autoreset_mode="Disabled"), ["autoreset mode is DISABLED"]),
    (lambda: worlds.Opaque([worlds.Raising]), ["raised ZeroDivisionError"]),
    (lambda: 1 // 0, ["raised ZeroDivisionError"]),
]


@pytest.mark.parametrize(("make", "texts"), FAULTS)
def test_a_fault_is_found_and_raised(make, texts):
    found = find_faults(make, steps=60)
    faults = [text for text in found if not text.startswith("note: ")]
    assert len(faults) == 1
    for text in texts:
        assert text in faults[0]
    assert len(faults[0].split("\n")) <= 12
    with pytest.raises(EnvironmentFault, match="breaks its contract in 1 way\n"):
        check_environment(make, steps=60)


NOTES = [
    (worlds.OutOfBounds, ["is out of range", "expected  -1.0 to 1.0", "first 1.7", "15 times"]),  # 4 steps an episode
    (worlds.Endless, ["no episode of Endless ended", "TimeLimit"]),
    (worlds.AtOnce, ["ends with its first action"]),
    (worlds.Printing, ["the environment prints", "first 'stepping'"]),
    (worlds.Unseeded, ["is not deterministic"]),
    (worlds.GlobalRandom, ["draws from NumPy's global generator"]),
    (worlds.Converted, ["is converted", "astype(np.float32)"]),
    (worlds.NoMetadata, ["metadata['render_modes']"]),
]


@pytest.mark.parametrize(("make", "texts"), NOTES)
def test_what_only_surprises_is_a_note_and_a_warning(make, texts):
    found = [text for text in find_faults(make, steps=60) if all(part in text for part in texts)]
    assert len(found) == 1
    assert found[0].startswith("note: ")
    with pytest.warns(UserWarning, match="the environment is sound, with notes"):
        check_environment(make, steps=60)


def test_all_faults_are_listed_at_once():
    with pytest.raises(EnvironmentFault, match="breaks its contract in 3 ways") as caught:
        check_environment(Several, steps=40)
    for part in ("extra leading dimension", "is not one finite number", "info of Several.step() is not a dict"):
        assert part in str(caught.value)


def test_what_is_no_environment_is_refused():
    for given in ("CartPole-v1", 3, lambda: "CartPole-v1"):
        with pytest.raises(ConfigError, match="something else than an environment"):
            find_faults(given)


class Lawless(JaxToHost):
    """Gives a reward at FIRST."""

    def reset(self, seed=None):
        step = super().reset(seed)
        return step._replace(reward=step.reward + 1)


def test_a_host_environment_is_held_to_the_table():
    (fault,) = find_faults(lambda: Lawless(Catch(), 2, seed=0), steps=60)
    assert "a law is broken: reward is 0 at FIRST" in fault
    assert f"step_type {StepType.FIRST.value}, reward 1.0" in fault


@dataclasses.dataclass(frozen=True)
class Pure(EpisodicEnvironment):
    """Broken in the way that it is told."""

    way: str = ""
    max_episode_steps: int | None = 4
    random_words = 1
    observation_spec = property(lambda self: specs.TensorSpec((2,), np.float32))
    action_spec = property(lambda self: specs.BoundedTensorSpec((), np.int32, 0, 1))

    def start(self, words):
        return jnp.zeros(2)

    def advance(self, world, action):
        if self.way == "control flow" and action > 0:
            return world, 1.0, True
        return (world + 1 if self.way != "not finite" else world / 0), 1.0, False

    def observe(self, world):
        return world[:1] if self.way == "shape" else world

    def step(self, state, action):
        state, time_step = super().step(state, action)
        return (state._replace(time=state.time * 1.0) if self.way == "state" else state), time_step


@pytest.mark.parametrize(
    ("way", "text"),
    [
        ("control flow", "Python control flow on traced values"),
        ("shape", "the time step of Pure changes at .observation"),
        ("state", "the state of Pure changes at .time"),
        ("not finite", "is not finite"),
    ],
)
def test_a_broken_pure_environment_is_found_out(way, text):
    (fault,) = find_faults(Pure(way), steps=60)
    assert text in fault


def test_an_environment_that_cannot_be_hashed_is_found_out():
    class Unhashable(Catch):
        __hash__ = None

    assert any("cannot be hashed" in text for text in find_faults(Unhashable(), steps=60))
