"""Faults of the rows, as the adapter tells them: what, where, why, and the fix."""

from __future__ import annotations

import numpy as np
import pytest

from environments import worlds
from jaxdaw.environments import GymnasiumEnvironment
from jaxdaw.errors import EnvironmentFault
from jaxdaw.trajectories import StepType

FAULTS = [
    (
        worlds.Raising,
        ["step() raised ZeroDivisionError in Raising.step (worlds.py:", "action=0, at step 3 of episode 1"],
    ),
    (worlds.RaisingReset, ["reset() raised KeyError in RaisingReset.reset (worlds.py:", "at the reset of episode 1"]),
    (
        worlds.FourValues,
        ["does not return five values", "got  4 values", "Gym before 0.26", "return observation, reward"],
    ),
    (worlds.BareReset, ["reset() does not return two values", "Fix: return observation, {}"]),
    (worlds.PairObservation, ["is a pair", "observation, info = self.env.reset("]),
    (
        worlds.ShapeChanges,
        ["does not match observation_spec", "float32 (2,)", "got  float32 (3,)", "at step 3 of episode 1"],
    ),
    (
        worlds.ExtraDimension,
        ["expected  float32 (2,)", "extra leading dimension", "np.asarray(self._state, np.float32)"],
    ),
    (worlds.NotFinite, ["is not finite", "1 of 2 values, first nan", "at step 2 of episode 1"]),
    (worlds.IntegerOutOfBounds, ["is out of range", "expected  0 to 2", "first 3", "at step 3 of episode 1"]),
    (worlds.WrongKeys, ["observation from WrongKeys.reset()", "velocity"]),
    (worlds.Flag, ["terminated of Flag.step() is not a bool", "terminated = bool(terminated)"]),
]


def play(environment, calls=6, action=0):
    environment.reset(seed=0)
    for _ in range(calls):
        environment.step(np.full(environment.batch_size, action))


@pytest.mark.parametrize(("world", "texts"), FAULTS, ids=lambda case: getattr(case, "__name__", ""))
def test_a_fault_says_what_where_and_how_to_mend_it(world, texts):
    environment = GymnasiumEnvironment(world)
    with pytest.raises(EnvironmentFault) as caught:
        play(environment)
    text = str(caught.value)
    for part in texts:
        assert part in text
    assert len(text.split("\n")) <= 12


def test_a_fault_names_the_row_and_counts_over_episodes():
    """Row 2 fails in its second episode: four actions, then three; one boundary call between them."""

    class Late(worlds.Raising):
        episodes = 0

        def reset(self, **options):
            self.episodes += 1
            return super().reset(**options)

        def step(self, action):
            return super().step(action) if self.episodes == 2 else worlds.Base.step(self, action)

    environment = GymnasiumEnvironment([worlds.Base, worlds.Base, Late])
    with pytest.raises(
        EnvironmentFault, match=r"action=1, in env 2 of 3 at step 3 of episode 2 \(env step 7\)"
    ) as caught:
        play(environment, 9, action=1)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert (environment.step(np.ones(3, int)).step_type == StepType.FIRST).all()  # all rows start anew


@pytest.mark.parametrize(
    ("reward", "texts"),
    [
        (np.nan, ["got  nan"]),
        (np.inf, ["got  inf"]),
        (1e300, ["got  1e+300", "overflow"]),
        (None, ["got  None", "Fix: reward = 0.0"]),
        ("1", ["got  str '1'", "float(reward)"]),
        (np.array([1.0]), ["float64 (1,) [1.0]", "reward.item()"]),
        (np.ones(3), ["reward.sum()"]),
    ],
)
def test_a_reward_that_is_not_one_finite_number_is_refused(reward, texts):
    text = r"reward of Reward.step\(\) is not one finite number, at step 2 of episode 1"
    with pytest.raises(EnvironmentFault, match=text) as caught:
        play(GymnasiumEnvironment(lambda: worlds.Reward(reward)))
    for part in texts:
        assert part in str(caught.value)


@pytest.mark.parametrize("reward", [2, True, np.float32(2), np.float64(2), np.int64(2), np.bool_(True), np.array(2.0)])
def test_any_single_number_is_a_reward_and_is_stored_as_float32(reward):
    environment = GymnasiumEnvironment(lambda: worlds.Reward(reward))
    environment.reset()
    environment.step(np.array([0]))
    step = environment.step(np.array([0]))
    assert step.reward.dtype == np.float32
    assert step.reward[0] == float(reward)


def test_observations_of_another_width_are_converted():
    environment = GymnasiumEnvironment(worlds.Converted)
    assert environment.reset().observation.dtype == np.float32


def test_bounds_of_floats_are_left_to_the_check():
    play(GymnasiumEnvironment(worlds.OutOfBounds))


@pytest.mark.parametrize("world", [worlds.Endless, worlds.AtOnce, worlds.Printing])
def test_what_only_surprises_is_served(world, capsys):
    play(GymnasiumEnvironment(world))
    capsys.readouterr()


def test_an_environment_without_spaces_is_refused():
    with pytest.raises(EnvironmentFault, match="NoSpaces declares no action_space"):
        GymnasiumEnvironment(worlds.NoSpaces)
