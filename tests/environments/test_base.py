import jax
import numpy as np
import pytest

from jaxdaw import environments, specs
from jaxdaw.errors import ConfigError


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


class Own(environments.Environment):
    """Remembers the action that it was given."""

    batch_size = 2
    observation_spec = specs.TensorSpec((), np.float32)
    action_spec = (specs.BoundedTensorSpec((), np.int32, 0, 1), specs.BoundedTensorSpec((2,), np.float32, -1, [1, 2]))

    def reset(self, seed=None):
        return environments.JaxToHost(environments.Catch(), 2).reset(seed)

    def step(self, action):
        self.action = action
        return self.reset()


def test_an_environment_of_ones_own_is_given_floats_within_their_bounds():
    world = Own()
    world.clipped_step((np.array([0, 1]), np.array([[-5, 5], [0.5, 1.5]], np.float32)))
    np.testing.assert_array_equal(world.action[0], [0, 1])
    np.testing.assert_array_equal(world.action[1], np.array([[-1, 2], [0.5, 1.5]], np.float32))


def test_an_environment_of_ones_own_is_made_again_only_if_it_says_how():
    assert not Own().can_remake
    with pytest.raises(ConfigError, match="Own cannot be made a second time"):
        Own().remake(2)
