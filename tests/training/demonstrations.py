"""Demonstrations for the tests: the sign of the first number, or twice the first number."""

import numpy as np

from jaxdaw import specs
from jaxdaw.data import Demonstrations, Episode

OBSERVATION = specs.TensorSpec((3,), np.float32)
SIGN = specs.BoundedTensorSpec((), np.int32, 2, 3)
TWICE = specs.BoundedTensorSpec((1,), np.float32, -2.0, 2.0)


def discrete(episodes=12, length=25, seed=0):
    random = np.random.default_rng(seed)
    made = []
    for _ in range(episodes):
        seen = random.uniform(-1, 1, (length + 1, 3)).astype(np.float32)
        action = (2 + (seen[:-1, 0] > 0)).astype(np.int32)
        made.append(Episode(seen, action, np.ones(length, np.float32), truncated=True))
    return Demonstrations(made, OBSERVATION, SIGN)


def continuous(episodes=12, length=25, seed=0):
    random = np.random.default_rng(seed)
    made = []
    for _ in range(episodes):
        seen = random.uniform(-1, 1, (length + 1, 3)).astype(np.float32)
        made.append(Episode(seen, 1.5 * seen[:-1, :1], np.ones(length, np.float32), truncated=True))
    return Demonstrations(made, OBSERVATION, TWICE)
