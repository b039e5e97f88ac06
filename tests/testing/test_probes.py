"""The probes are sound, and their action values are those of value iteration over what they do."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.testing import CONTINUOUS_PROBES, PROBES, ContinuousProbe, Probe

DISCOUNT = 0.9


def walked(probe: Probe, observation: np.ndarray, action: int) -> tuple[float, float, np.ndarray]:
    """Returns reward, discount and the next observation of the first such step among many random ones."""
    step = jax.jit(probe.step)
    state, time_step = probe.init(jax.random.key(0))
    random = np.random.default_rng(0)
    for _ in range(500):
        here, last = np.asarray(time_step.observation), bool(time_step.is_last())
        chosen = int(random.integers(2))
        state, time_step = step(state, jnp.int32(chosen))
        if not last and chosen == action and np.array_equal(here, observation):
            return float(time_step.reward), float(time_step.discount), np.asarray(time_step.observation)
    raise AssertionError(f"{observation} with action {action} was never seen")


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: type(probe).__name__)
def test_action_values_are_those_of_value_iteration(probe: Probe):
    observations = probe.observations.tolist()
    steps = {(s, a): walked(probe, probe.observations[s], a) for s in range(len(observations)) for a in range(2)}
    values = np.zeros((len(observations), 2))
    for _ in range(300):
        for (s, a), (reward, discount, after) in steps.items():
            following = values[observations.index(after.tolist())].max() if discount else 0.0
            values[s, a] = reward + DISCOUNT * discount * following
    np.testing.assert_allclose(probe.action_values(DISCOUNT), values, atol=1e-6)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: type(probe).__name__)
def test_every_observation_is_listed_and_every_episode_ends(probe: Probe):
    step = jax.jit(probe.step)
    state, time_step = probe.init(jax.random.key(1))
    ends, seen = 0, set()
    for _ in range(200):
        if not time_step.is_last():
            seen.add(time_step.observation.tolist()[0])
        ends += int(time_step.is_last())
        state, time_step = step(state, jnp.int32(0))
    assert seen == {row[0] for row in probe.observations.tolist()}
    assert ends >= 30


@pytest.mark.parametrize("probe", CONTINUOUS_PROBES, ids=lambda probe: type(probe).__name__)
def test_the_best_actions_of_continuous_probes_have_the_value_that_is_stated(probe: ContinuousProbe):
    """One long walk by the best action at each observation, and two a little off, which earn less."""
    step = jax.jit(probe.clipped_step)
    mean_reward, at_ends = {}, 0
    for off in (0.0, 0.1, -0.1):
        state, time_step = probe.init(jax.random.key(0))
        rewards: list[float] = []
        for _ in range(80):
            at = np.abs(probe.observations - np.asarray(time_step.observation)).sum(-1).argmin()
            state, time_step = step(state, jnp.asarray(probe.best_actions[at] + off, jnp.float32))
            rewards += [] if time_step.is_first() else [float(time_step.reward)]
            at_ends += bool(time_step.is_last())
        mean_reward[off] = np.mean(rewards)
    assert mean_reward[0.0] > max(mean_reward[0.1], mean_reward[-0.1]) + 1e-3
    assert at_ends > 45
    np.testing.assert_allclose(mean_reward[0.0], 1.0, rtol=1e-6)
    values = {"SteeredReward": [1.0, 1.0], "CutSteering": [1 / (1 - DISCOUNT)]}  # the sum of 1 to the end, or for ever
    np.testing.assert_allclose(probe.best_values(DISCOUNT), values[type(probe).__name__])
