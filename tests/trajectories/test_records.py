import numpy as np
import pytest

from jaxdaw import specs, trajectories
from jaxdaw.errors import SpecTypeError
from jaxdaw.trajectories import TimeStep, Trajectory


def test_predicates_compare_step_types():
    step = TimeStep(np.array([0, 1, 2]), None, None, None)
    assert step.is_first().tolist() == [True, False, False]
    assert step.is_mid().tolist() == [False, True, False]
    assert step.is_last().tolist() == [False, False, True]
    frame = Trajectory(np.array([0, 1, 1, 2]), None, None, None, np.array([1, 1, 2, 0]), None, None)
    assert frame.is_first().tolist() == [True, False, False, False]
    assert frame.is_mid().tolist() == [False, True, False, False]
    assert frame.is_last().tolist() == [False, False, True, False]
    assert frame.is_boundary().tolist() == [False, False, False, True]


def test_specs_of_records():
    observation = {"x": specs.TensorSpec((2,), np.float32)}
    step = trajectories.time_step_spec(observation)
    assert (step.step_type.dtype, step.reward.dtype, step.discount.maximum) == (np.int32, np.float32, 1.0)
    frame = trajectories.trajectory_spec(step, specs.TensorSpec((), np.int32))
    assert frame.next_step_type == step.step_type
    assert trajectories.time_step_spec() == TimeStep((), (), (), ())
    with pytest.raises(SpecTypeError, match="ndarray"):
        trajectories.time_step_spec(np.zeros(2))
