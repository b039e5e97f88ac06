from __future__ import annotations

import numpy as np

from data.recordings import episode


def test_episode_is_as_long_as_its_actions():
    assert len(episode(0, 5)) == 5
    assert len(episode(0, 5, last=False)) == 5


def test_episode_knows_whether_the_last_observation_is_there():
    assert episode(0, 5).has_last_observation
    assert not episode(0, 5, last=False).has_last_observation


def test_episode_of_unknown_end_is_neither_terminated_nor_truncated():
    unknown = episode(0, 2)
    assert (unknown.terminated, unknown.truncated) == (False, False)
    assert np.array_equal(unknown.action, [0, 1])
