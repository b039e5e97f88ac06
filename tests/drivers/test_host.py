import numpy as np

from jaxdaw import environments
from jaxdaw.drivers import EpisodeDriver, StepDriver
from jaxdaw.policies import RandomPolicy
from jaxdaw.trajectories import StepType, Trajectory, validate_trajectory


def make(num_envs):
    world = environments.make("CartPole-v1", num_envs=num_envs)
    return world, RandomPolicy(world.time_step_spec(), world.action_spec)


def stacked(frames):
    return Trajectory(*(np.stack([getattr(f, name) for f in frames], axis=1) if name != "policy_info" else ()
                        for name in Trajectory._fields))  # fmt: skip


def test_step_driver_shows_every_frame_of_a_valid_stream():
    world, policy = make(3)
    frames, others = [], []
    driver = StepDriver(world, policy, [frames.append, others.append], num_steps=120, seed=0)
    time_step, state = driver.run()
    time_step, _ = driver.run(time_step, state)
    stream = stacked(frames)
    validate_trajectory(stream)
    assert np.sum(stream.step_type != StepType.LAST) in range(240, 246)
    assert len(others) == len(frames)
    np.testing.assert_array_equal(time_step.step_type, stream.next_step_type[:, -1])


def test_episode_driver_counts_endings():
    world, policy = make(2)
    frames = []
    EpisodeDriver(world, policy, [frames.append], num_episodes=5, seed=0).run()
    assert np.sum(stacked(frames).next_step_type == StepType.LAST) in (5, 6)
