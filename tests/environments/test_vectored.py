"""Faults of a vector environment that steps its own rows."""

from __future__ import annotations

import numpy as np
import pytest

from environments import worlds
from jaxdaw.environments import GymnasiumEnvironment
from jaxdaw.errors import EnvironmentFault, SpecError
from jaxdaw.trajectories import StepType


class Altered(worlds.Opaque):
    """Changes what its `step` returns."""

    change = staticmethod(lambda outcome: outcome)

    def step(self, actions):
        return self.change(super().step(actions))


def altered(change):
    env = Altered([worlds.Base, worlds.Base])
    env.change = change
    environment = GymnasiumEnvironment(env)
    environment.reset(seed=0)
    return environment


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda o: o[:4], "does not return five values"),
        (lambda o: (o[0][:1], *o[1:]), r"expected  float32 \(2, 2\)"),
        (lambda o: (o[0] * np.nan, *o[1:]), "is not finite, in env 0 of 2 at env step 1"),
        (lambda o: (o[0], np.array([1.0, np.nan]), *o[2:]), "is not one finite number, in env 1 of 2"),
        (lambda o: (o[0], np.ones(3), *o[2:]), r"reward of Altered.step\(\) is not one number for each row"),
        (lambda o: (o[0], o[1], np.zeros(2), *o[3:]), "terminated of Altered.step"),
    ],
)
def test_what_a_vector_environment_returns_is_checked(change, text):
    with pytest.raises(EnvironmentFault, match=text):
        altered(change).step(np.zeros(2, int))


def test_an_error_inside_is_told_with_the_line_and_every_row_starts_anew():
    environment = GymnasiumEnvironment(worlds.Opaque([worlds.Raising, worlds.Base]))
    environment.reset(seed=0)
    with pytest.raises(
        EnvironmentFault, match=r"Opaque.step\(\) raised ZeroDivisionError in Raising.step \(worlds.py"
    ) as caught:
        [environment.step(np.zeros(2, int)) for _ in range(4)]
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert (environment.step(np.zeros(2, int)).step_type == StepType.FIRST).all()


def test_actions_out_of_range_are_refused_except_at_a_boundary():
    environment = GymnasiumEnvironment(worlds.Opaque([worlds.AtOnce, worlds.Base]))
    environment.reset(seed=0)
    environment.step(np.zeros(2, int))
    assert environment.step(np.array([99, 0])).step_type[0] == StepType.FIRST
    with pytest.raises(SpecError, match="out of range in row 0"):
        environment.step(np.array([99, 0]))


def test_a_reward_wrapper_cannot_give_a_reward_to_the_first_step():
    """A wrapper that subtracts 1 from all rewards also changes that of the reset, which must stay 0."""
    environment = altered(lambda o: (o[0], o[1] - 1, *o[2:]))
    rewards = [environment.step(np.zeros(2, int)) for _ in range(5)]
    assert (rewards[4].step_type == StepType.FIRST).all()
    assert (rewards[4].reward == 0).all()


def test_a_same_step_environment_without_final_observations_is_found_out():
    env = Altered([worlds.AtOnce], autoreset_mode="SameStep")
    env.change = lambda o: (*o[:4], {})
    environment = GymnasiumEnvironment(env)
    environment.reset(seed=0)
    with pytest.raises(EnvironmentFault, match="gives no final observation"):
        environment.step(np.zeros(1, int))
