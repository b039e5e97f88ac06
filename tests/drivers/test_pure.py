import jax
import numpy as np

from jaxdaw import environments
from jaxdaw.drivers import Rollout
from jaxdaw.policies import RandomPolicy
from jaxdaw.trajectories import validate_trajectory


def test_runs_join_into_one_valid_stream_and_vmap_over_seeds():
    world = environments.make("jax:CartPole-v1")
    policy = RandomPolicy(world.time_step_spec(), world.action_spec)
    rollout = Rollout(world, policy, num_envs=4)
    run = jax.jit(rollout.run, static_argnums=3)
    state, first = run((), rollout.init(jax.random.key(0)), jax.random.key(1), 60)
    _, second = run((), state, jax.random.key(2), 60)
    joined = jax.tree.map(lambda a, b: np.concatenate([a, b], axis=1), first, second)
    validate_trajectory(joined)
    many = jax.vmap(lambda key: rollout.run((), rollout.init(key), key, 5)[1])(jax.random.split(jax.random.key(3), 2))
    assert many.reward.shape == (2, 4, 5)
