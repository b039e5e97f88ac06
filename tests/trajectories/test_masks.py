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


def test_an_episode_ends_where_the_next_step_is_last_or_only_the_boundary_frame_says_so():
    first, mid, last = StepType.FIRST, StepType.MID, StepType.LAST
    step_type = np.array([[first, mid, last, first, mid, last, first]], np.int32)
    next_step_type = np.array([[mid, last, first, mid, mid, first, last]], np.int32)  # the second was interrupted
    frame = trajectories.Trajectory(step_type, (), (), (), next_step_type, (), ())
    np.testing.assert_array_equal(trajectories.episode_ends(frame), [[0, 1, 0, 0, 1, 0, 1]])
