from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jaxdaw.data import from_arrays
from jaxdaw.errors import SpecError

ACTIONS = np.array([0, 1, 2, 0, 1])


def test_from_arrays_cuts_where_a_flag_is_true():
    found = from_arrays(
        np.arange(5)[:, None], ACTIONS, np.arange(5.0), terminated=[0, 1, 0, 0, 0], truncated=[0, 0, 0, 1, 0]
    )
    assert found.lengths.tolist() == [2, 2, 1]
    assert found.terminated.tolist() == [True, False, False]
    assert found.truncated.tolist() == [False, True, False]
    assert [episode.observation[:, 0].tolist() for episode in found] == [[0, 1], [2, 3], [4]]
    assert found.returns is not None
    assert found.returns.tolist() == [0 + 1, 2 + 3, 4]


def test_from_arrays_takes_the_observation_after_each_episode():
    found = from_arrays({"x": np.arange(7)[:, None]}, ACTIONS, episode_ends=[2, 5], terminated=[0, 1, 0, 0, 0])
    assert [episode.observation["x"][:, 0].tolist() for episode in found] == [[0, 1, 2], [3, 4, 5, 6]]
    assert all(episode.has_last_observation for episode in found)
    assert found.terminated.tolist() == [True, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "nothing says where episodes end"),
        ({"episode_ends": [2, 4]}, "do not cut the steps"),
        ({"episode_ends": [3, 2, 5]}, "do not cut the steps"),
        ({"episode_ends": [5.0]}, "do not cut the steps"),
        ({"episode_ends": [5], "terminated": [0, 1, 0, 0, 0]}, r"goes on after a step that ended it(.|\n)*step 1"),
        ({"terminated": [0, 1]}, "terminated does not say for each step"),
        ({"truncated": [0, 0.5, 0, 0, 1]}, "truncated does not say for each step"),
        ({"episode_ends": [5], "rewards": np.zeros(6)}, "rewards and actions do not fit"),
        (
            {"episode_ends": [5], "observations": np.zeros((8, 1))},
            "5 observations, or 6",
        ),
        ({"episode_ends": [5], "observations": [[0.0], [1.0]]}, "observations are no arrays"),
        ({"episode_ends": [5], "observations": {"a": np.zeros(5), "b": np.zeros(4)}}, r"disagree at \['b'\]"),
    ],
)
def test_from_arrays_refuses_what_does_not_fit(change: dict[str, Any], message: str):
    given = {"observations": np.zeros((5, 1)), "actions": ACTIONS, **change}
    with pytest.raises(SpecError, match=message):
        from_arrays(**given)
