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
