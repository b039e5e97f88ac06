"""Recall: memory is worth everything, nothing else is worth anything."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.environments import Recall
from jaxdaw.trajectories import StepType


def rewards(environment, act, episodes=2000):
    """Returns the reward of one episode each, of `act(memory, observation) -> (memory, action)`."""

    def one(key):
        state, step = environment.init(key)
        memory, total = jnp.zeros(environment.cues), 0.0
        for _ in range(environment.delay + 2):
            memory, action = act(memory, step.observation)
            state, step = environment.step(state, action)
            total += step.reward
        return total, step

    return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), episodes))


def remembering(memory, observation):
    memory = memory + observation[:-1]
    return memory, jnp.argmax(memory)


@pytest.mark.parametrize("delay", [0, 1, 5])
def test_a_policy_that_remembers_is_always_right(delay):
    total, step = rewards(Recall(cues=3, delay=delay), remembering)
    assert (total == 1.0).all()
    assert (step.step_type == StepType.LAST).all()
    assert (step.discount == 0).all()


@pytest.mark.parametrize("cues", [2, 4])
def test_a_policy_without_memory_is_right_by_chance(cues):
    """Whatever it answers, it is a constant: no observation after FIRST depends on the cue. 5 standard errors."""
    environment = Recall(cues=cues)
    total, _ = rewards(environment, lambda memory, observation: (memory, jnp.argmax(observation[:-1])))
    assert abs(float(total.mean()) - 1 / cues) < 5 * np.sqrt(1 / cues * (1 - 1 / cues) / 2000)


def test_observations_by_hand():
    """Two cues, two blanks: cue, blank, blank, question, nothing."""
    environment = Recall(cues=2, delay=2)
    state, step = environment.init(jax.random.key(0))
    cue = int(state.world.cue)
    shown = [step.observation]
    for _ in range(4):
        state, step = environment.step(state, cue)
        shown.append(step.observation)
    expected = np.zeros((5, 3))
    expected[0, cue] = expected[3, 2] = 1
    np.testing.assert_array_equal(np.stack(shown), expected)
