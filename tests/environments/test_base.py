import jax
import numpy as np

from jaxdaw import environments


def test_both_kinds_describe_their_time_steps():
    for world in (environments.make("CartPole-v1", num_envs=2), environments.make("jax:CartPole-v1")):
        step = world.time_step_spec()
        assert step.observation == world.observation_spec
        assert (step.reward.shape, step.discount.maximum) == ((), 1.0)


def test_a_host_environment_closes_with_its_block():
    with environments.make("CartPole-v1", num_envs=2) as world:
        assert world.reset(seed=0).observation.shape == (2, 4)


def test_after_last_the_action_is_ignored_and_first_comes():
    world = environments.make("jax:Catch-v0")
    step = jax.jit(world.step)
    state, time_step = world.init(jax.random.key(0))
    while time_step.step_type != 2:
        state, time_step = step(state, np.int32(1))
    for action in (0, 2):
        _, again = step(state, np.int32(action))
        assert (int(again.step_type), float(again.reward), float(again.discount)) == (0, 0.0, 1.0)
