"""Which frames count, on a stream small enough to read."""

import numpy as np

from jaxdaw import trajectories
from jaxdaw.trajectories import StepType


def test_boundary_frames_do_not_count():
    step_type = np.array([[StepType.FIRST, StepType.MID, StepType.LAST, StepType.FIRST]], np.int32)
    np.testing.assert_array_equal(trajectories.get_episode_mask(step_type), [[1.0, 1.0, 0.0, 1.0]])


def test_frames_count_up_to_and_including_the_first_termination():
    discount = np.array([[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]], np.float32)
    mask = trajectories.get_contiguous_sub_episodes(discount)
    np.testing.assert_array_equal(mask, [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
