import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import specs, trajectories
from jaxdaw.errors import SpecError
from jaxdaw.policies import RandomPolicy

from .test_base import MASKED, ROWS, STEP, split

NEST = {
    "gear": specs.BoundedTensorSpec((2,), np.int32, [0, 0], [1, 3]),
    "steer": specs.BoundedTensorSpec((3,), np.float32, -1.0, 1.0),
}


def test_a_nest_is_sampled_leaf_by_leaf():
    policy = RandomPolicy(STEP, NEST, emit_log_probability=True)
    step = policy.action(ROWS, seed=0)
    specs.check(step.action, NEST, (5,))
    # log(1/2) + log(1/4) for the gear, 3 log(1/2) for the steering
    np.testing.assert_allclose(step.info.log_probability, -2.0794415 - 2.0794415, rtol=1e-6)


def test_a_mask_needs_one_scalar_action():
    with pytest.raises(SpecError, match="one scalar integer action"):
        RandomPolicy(trajectories.time_step_spec(MASKED), NEST, observation_and_action_constraint_splitter=split)


def test_observations_from_the_device_are_taken_in_its_own_width():
    """A spec of 64 bits is one of 32 on the device, where nothing needs a cast; a cast would warn."""
    observation = specs.BoundedTensorSpec((), np.int64, 0, 9)
    policy = RandomPolicy(trajectories.time_step_spec(observation), specs.BoundedTensorSpec((), np.int32, 0, 3))
    for seen in (jnp.arange(3), jnp.arange(3, dtype=jnp.int8), np.arange(3), np.arange(3, dtype=np.int8)):
        assert policy.action(seen, seed=0).action.shape == (3,)
