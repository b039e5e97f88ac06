from __future__ import annotations

import json

import numpy as np

from data.recordings import episode, episodes
from jaxdaw.data import Demonstrations, Episode, summary


def test_summary_counts():
    found = summary(Demonstrations(episodes()))  # lengths 3, 1, 4, 2; rewards 10 i + t; actions t % 3
    assert (found["num_episodes"], found["num_steps"]) == (4, 10)
    assert found["lengths"] == {"mean": 2.5, "std": np.std([3, 1, 4, 2]), "min": 1, "median": 2.5, "max": 4}
    assert found["returns"]["min"] == 0 + 1 + 2
    assert found["returns"]["max"] == 20 + 21 + 22 + 23
    assert found["endings"] == {"terminated": 2, "truncated": 1, "unknown": 1}
    assert found["actions"] == {"": {0: 5, 1: 3, 2: 2}}
    assert json.loads(json.dumps(found))["num_steps"] == 10


def test_summary_of_continuous_actions_without_rewards():
    action = np.array([[0.0, 1.0], [2.0, 1.0]], np.float32)
    found = summary(Demonstrations([Episode(np.zeros((3, 1)), {"u": action})]))
    assert found["returns"] is None
    assert found["actions"] == {"['u']": {"mean": [1.0, 1.0], "std": [1.0, 0.0], "min": [0.0, 1.0], "max": [2.0, 1.0]}}
    assert summary(Demonstrations([episode(0, 2)]))["endings"]["unknown"] == 1
