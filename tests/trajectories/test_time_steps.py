import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import trajectories
from jaxdaw.errors import SpecError


def test_numpy_in_numpy_out_and_device_in_device_out():
    assert isinstance(trajectories.restart(np.zeros(2)).reward, np.ndarray)
    assert isinstance(trajectories.restart(jnp.zeros(2)).reward, jax.Array)
    assert isinstance(trajectories.transition(jnp.zeros(2), 1.0).reward, jax.Array)


def test_under_jit():
    step = jax.jit(lambda o, r: trajectories.truncation(o, r))(jnp.zeros((3, 2)), jnp.ones(3))
    assert step.step_type.tolist() == [2, 2, 2]
    assert step.discount.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("reward", [None, float("nan"), "much", [1.0, float("nan")]])
def test_a_reward_that_is_no_number_is_refused(reward):
    with pytest.raises(SpecError, match="reward of a step is not a number"):
        trajectories.transition(np.zeros(2), reward)


@pytest.mark.parametrize("make", ["transition", "termination", "truncation"])
def test_rewards_are_float32(make):
    assert getattr(trajectories, make)(np.zeros(2), np.float64(1.5)).reward.dtype == np.float32
