import functools

import jax
import numpy as np
import pytest

from environments import worlds
from jaxdaw import environments, networks
from jaxdaw.drivers import EpisodeDriver, StepDriver
from jaxdaw.policies import ActorPolicy, GaussianPolicy, GreedyPolicy, RandomPolicy
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


@pytest.mark.parametrize("kind", ["float", "floats", "doubles", "nested", "pair"])
def test_the_log_probability_recorded_is_that_of_the_action_recorded(kind):
    """With the weights unchanged the ratio of the two densities is 1, also where the environment clipped the action."""
    world = environments.GymnasiumEnvironment(lambda: worlds.Acting(kind), 2)
    wide = functools.partial(networks.NormalProjection, std_bias_initializer_value=5.0)  # deviations of 5
    network = networks.ActorDistributionNetwork(
        world.observation_spec, world.action_spec, fc_layer_params=(), continuous_projection_net=wide
    )
    actor = ActorPolicy(world.time_step_spec(), world.action_spec, network, clip=False, emit_log_probability=True)
    policies = [actor]
    if kind in ("float", "floats", "doubles"):
        plain = ActorPolicy(world.time_step_spec(), world.action_spec, network, clip=False)
        policies.append(GaussianPolicy(GreedyPolicy(plain), 3.0, clip=False, emit_log_probability=True))
    for policy in policies:
        frames, outside = [], 0
        StepDriver(world, policy, [frames.append], num_steps=60).run()
        for frame in frames:
            again = policy.distribution(frame.observation).action
            leaves = jax.tree.leaves(again, is_leaf=lambda x: hasattr(x, "log_prob"))
            log_prob = sum(
                leaf.log_prob(action) for leaf, action in zip(leaves, jax.tree.leaves(frame.action), strict=True)
            )
            np.testing.assert_allclose(frame.policy_info.log_probability, log_prob, atol=1e-4)
            flat = [action for action in jax.tree.leaves(frame.action) if action.dtype.kind == "f"]
            outside += sum(int((np.abs(action) > 2).sum()) for action in flat)
        assert outside > 0
