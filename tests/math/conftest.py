"""Streams of random rewards, for everything that sums them."""

import numpy as np
import pytest


def _streams(seed, rows, length, rate=0.2):
    """Random rewards, and endings of both kinds: `ends` with discount 0 (terminated) or 1 (cut)."""
    random = np.random.default_rng(seed)
    ends = random.random((rows, length)) < rate
    terminated = ends & (random.random((rows, length)) < 0.5)
    return random.normal(size=(rows, length)).astype(np.float32), 1.0 - terminated.astype(np.float32), ends


@pytest.fixture
def streams():
    return _streams
