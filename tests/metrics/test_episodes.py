import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.metrics import EpisodeMetrics
from jaxdaw.trajectories import StepType, Trajectory


def stream(seed, rows, steps):
    """Episodes of random length with random endings, as recorded: each LAST is followed by a boundary frame."""
    random = np.random.default_rng(seed)
    step_type = np.zeros((rows, steps + 1), np.int32)
    for b in range(rows):
        for t in range(steps):
            now = step_type[b, t]
            step_type[b, t + 1] = StepType.FIRST if now == StepType.LAST else random.choice([1, 1, 1, 2])
    reward = random.normal(size=(rows, steps)).astype(np.float32)
    reward[step_type[:, :-1] == StepType.LAST] = 0.0
    action = random.integers(0, 3, (rows, steps)).astype(np.int32)
    discount = np.ones((rows, steps), np.float32)
    return Trajectory(step_type[:, :-1], (), action, (), step_type[:, 1:], reward, discount)


def test_returns_lengths_and_actions_equal_a_count_by_hand():
    frames = stream(0, 4, 200)
    metrics = EpisodeMetrics(4, 3)
    update = jax.jit(metrics.update)
    state = metrics.init()
    for t in range(200):
        state = update(state, jax.tree.map(lambda x: x[:, t], frames))  # noqa: B023
    returns, lengths, steps = [], [], 0
    for b in range(4):
        total, length = 0.0, 0
        for t in range(200):
            if frames.step_type[b, t] == StepType.LAST:
                continue
            if frames.step_type[b, t] == StepType.FIRST:
                total, length = 0.0, 0
            total, length, steps = total + frames.reward[b, t], length + 1, steps + 1
            if frames.next_step_type[b, t] == StepType.LAST:
                returns.append(total)
                lengths.append(length)
    summary = metrics.compute(state)
    assert (summary.episodes, summary.env_steps) == (len(returns), steps)
    np.testing.assert_allclose(summary.mean_return, np.mean(returns), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(summary.std_return, np.std(returns), rtol=1e-3)
    np.testing.assert_allclose(summary.mean_length, np.mean(lengths), rtol=1e-5)
    real = frames.step_type != StepType.LAST
    counts = np.bincount(frames.action[real], minlength=3) / real.sum()
    np.testing.assert_allclose(summary.action_frequencies, counts)


def test_clear_keeps_the_episode_under_way():
    metrics = EpisodeMetrics(1)
    one = lambda kind, following: Trajectory(  # noqa: E731
        jnp.array([kind]), (), (), (), jnp.array([following]), jnp.array([1.0]), jnp.ones(1)
    )
    state = metrics.update(metrics.init(), one(0, 1))
    state = metrics.update(metrics.clear(state), one(1, 2))
    summary = metrics.compute(state)
    assert (summary.episodes, summary.mean_return, summary.env_steps) == (1, 2.0, 2)


def test_without_an_episode_the_means_are_nan():
    summary = EpisodeMetrics(2).compute(EpisodeMetrics(2).init())
    assert summary.episodes == 0
    assert np.isnan([summary.mean_return, summary.std_return, summary.mean_length]).all()
