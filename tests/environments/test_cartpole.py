"""CartPole against Gymnasium's, step by step, and as a stream."""

from __future__ import annotations

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.environments import CartPole
from jaxdaw.trajectories import StepType


def test_every_step_equals_gymnasium_from_the_same_state():
    """10,000 states, far beyond those that episodes visit, each stepped by both.

    Gymnasium computes in float64 from the same float32 state; one step of float32 rounding stays below 2e-6 relative.
    """
    random = np.random.default_rng(0)
    states = random.uniform([-2.5, -4, -0.22, -4], [2.5, 4, 0.22, 4], (10_000, 4)).astype(np.float32)
    actions = random.integers(0, 2, 10_000)
    ours, rewards, fallen = jax.jit(jax.vmap(CartPole().advance))(states, actions)
    env = gymnasium.make("CartPole-v1").unwrapped
    env.reset(seed=0)
    for state, action, following, terminated in zip(states, actions, np.asarray(ours), np.asarray(fallen), strict=True):
        env.state, env.steps_beyond_terminated = state.astype(np.float64), None
        expected, reward, theirs, _, _ = env.step(action)
        np.testing.assert_allclose(following, expected, rtol=2e-6, atol=2e-6)
        near = min(abs(abs(expected[0]) - 2.4), abs(abs(expected[2]) - 12 * 2 * np.pi / 360)) < 1e-5
        assert theirs == terminated or near
        assert reward == 1.0
    assert (rewards == 1.0).all()
    assert 1000 < np.asarray(fallen).sum() < 9000  # both outcomes were compared, thousands of times


def test_whole_episodes_equal_gymnasium_from_the_same_start_and_actions():
    """200 episodes of random actions: 20 steps of rounding each, so 1e-4; the same length, ending and rewards."""
    environment, random = CartPole(), np.random.default_rng(1)
    step, start = jax.jit(environment.step), jax.jit(environment.init)
    oracle = gymnasium.make("CartPole-v1")
    steps = 0
    for seed in range(200):
        state, time_step = start(jax.random.key(seed))
        oracle.reset(seed=0)
        oracle.unwrapped.state = np.asarray(time_step.observation, np.float64)
        while time_step.step_type != StepType.LAST:
            action = int(random.integers(0, 2))
            state, time_step = step(state, action)
            observation, reward, terminated, truncated, _ = oracle.step(action)
            np.testing.assert_allclose(time_step.observation, observation, atol=1e-4)
            assert (time_step.reward, time_step.discount) == (reward, 1.0 - terminated)
            assert (time_step.step_type == StepType.LAST) == (terminated or truncated)
            steps += 1
    assert steps > 4000


def balancing(observation):
    """Pushes to the side to which the pole is falling; holds it for more than 500 steps."""
    return (observation[2] + 0.3 * observation[3] + 0.02 * observation[0] + 0.05 * observation[1] > 0).astype(jnp.int32)


def test_the_time_limit_cuts_and_does_not_terminate():
    environment = CartPole()

    def advance(carry, _):
        state, observation = carry
        state, time_step = environment.step(state, balancing(observation))
        return (state, time_step.observation), time_step

    state, first = environment.init(jax.random.key(0))
    _, steps = jax.lax.scan(advance, (state, first.observation), None, length=502)
    kinds = np.asarray(steps.step_type)
    assert (kinds[:499] == StepType.MID).all()
    assert kinds[499:].tolist() == [StepType.LAST, StepType.FIRST, StepType.MID]  # the 500th action is the last
    assert steps.discount[499] == 1.0
    assert (steps.reward[499], steps.reward[500]) == (1.0, 0.0)
    assert np.abs(steps.observation[500]).max() <= 0.05


def test_a_fall_at_the_time_limit_is_a_termination():
    environment = CartPole(max_episode_steps=1)
    state, _ = environment.init(jax.random.key(0))
    state = state._replace(world=jnp.array([2.5, 1.0, 0.0, 0.0]))
    _, time_step = environment.step(state, 1)
    assert (time_step.step_type, time_step.discount) == (StepType.LAST, 0.0)


def test_starts_are_uniform_and_differ_between_episodes_and_keys():
    environment = CartPole(max_episode_steps=1)
    step, actions = jax.jit(jax.vmap(environment.step)), jnp.zeros(2000, jnp.int32)
    states, first = jax.jit(jax.vmap(environment.init))(jax.random.split(jax.random.key(0), 2000))
    states, last = step(states, actions)
    assert (last.step_type == StepType.LAST).all()
    _, second = step(states, actions)
    starts = np.concatenate([first.observation, second.observation])
    assert len(np.unique(starts, axis=0)) == 4000
    # 16,000 uniforms on +-0.05: mean 0 within 5 standard errors of 0.1/sqrt(12*16000), standard deviation 0.1/sqrt(12)
    assert abs(starts.mean()) < 5 * 0.1 / np.sqrt(12 * 16000)
    np.testing.assert_allclose(starts.std(), 0.1 / np.sqrt(12), rtol=0.02)
    assert np.abs(starts).max() <= 0.05
    correlation = np.corrcoef(np.concatenate([first.observation, second.observation], axis=1).T)
    assert np.abs(correlation - np.eye(8)).max() < 0.12  # 5 / sqrt(2000)


def test_without_velocities_the_positions_alone_are_seen():
    hidden, seen = CartPole(velocities=False), CartPole()
    state, time_step = hidden.init(jax.random.key(0))
    assert hidden.observation_spec.shape == time_step.observation.shape == (2,)
    after = hidden.step(state, 1)[1].observation
    np.testing.assert_array_equal(after, seen.step(state, 1)[1].observation[jnp.array([0, 2])])
