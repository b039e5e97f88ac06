"""n-step transitions over long random streams with both endings, against float64 brute force."""

import jax
import numpy as np
import pytest

from jaxdaw import trajectories
from jaxdaw.trajectories import StepType, Trajectory


def stream(seed, rows, frames):
    random = np.random.default_rng(seed)
    kinds = np.zeros((rows, frames + 1), np.int32)
    kinds[:, 0] = random.integers(0, 3, rows)
    for t in range(frames):
        moving = random.choice([1, 1, 1, 2], rows)
        kinds[:, t + 1] = np.where(kinds[:, t] == StepType.LAST, StepType.FIRST, moving)
    ends = kinds[:, 1:] == StepType.LAST
    discount = np.where(ends & (random.random((rows, frames)) < 0.5), 0.0, 1.0).astype(np.float32)
    reward = np.where(kinds[:, :-1] == StepType.LAST, 0.0, random.normal(size=(rows, frames))).astype(np.float32)
    observation = np.arange(rows * frames, dtype=np.float32).reshape(rows, frames)
    action = random.integers(0, 3, (rows, frames)).astype(np.int32)
    return Trajectory(kinds[:, :-1], observation, action, (), kinds[:, 1:], reward, discount)


@pytest.mark.parametrize("n", range(1, 11))
def test_ten_thousand_streams_for_every_n(n):
    frames = stream(n, 10_000, n + 1)
    got = jax.jit(trajectories.to_n_step_transition, static_argnums=1)(frames, 0.97)
    reward, discount = np.zeros(10_000), np.zeros(10_000)
    index = np.zeros(10_000, int)
    for b in range(10_000):
        factor = 1.0
        for k in range(n):
            reward[b] += factor * float(frames.reward[b, k])
            discount[b] = factor * float(frames.discount[b, k])
            index[b] = k + 1
            if frames.next_step_type[b, k] == StepType.LAST:
                break
            factor *= 0.97 * float(frames.discount[b, k])
    np.testing.assert_allclose(got.next_time_step.reward, reward, atol=1e-5)
    np.testing.assert_allclose(got.next_time_step.discount, discount, atol=1e-5)
    rows = np.arange(10_000)
    np.testing.assert_array_equal(got.next_time_step.observation, frames.observation[rows, index])
    np.testing.assert_array_equal(got.next_time_step.step_type, frames.step_type[rows, index])


def test_a_recording_that_was_interrupted_counts_as_cut():
    """Frame 1 says LAST though frame 0 said MID: the environment was reset from outside."""
    frames = Trajectory(
        step_type=np.array([[1, 2, 0]], np.int32),
        observation=np.array([[10.0, 11.0, 50.0]], np.float32),
        action=np.zeros((1, 3), np.int32),
        policy_info=(),
        next_step_type=np.array([[1, 0, 1]], np.int32),
        reward=np.array([[1.0, 0.0, 9.0]], np.float32),
        discount=np.ones((1, 3), np.float32),
    )
    step = trajectories.to_n_step_transition(frames, 0.5).next_time_step
    assert (float(step.reward[0]), float(step.discount[0]), float(step.observation[0])) == (1.0, 1.0, 11.0)


def test_no_gradient_flows():
    frames = jax.tree.map(np.asarray, stream(0, 3, 3))
    gradient = jax.grad(
        lambda r: jax.numpy.sum(trajectories.to_n_step_transition(frames._replace(reward=r), 0.9).next_time_step.reward)
    )
    np.testing.assert_array_equal(gradient(frames.reward), 0.0)
