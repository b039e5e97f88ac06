"""Records that describe a sampled batch."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

Array = jax.Array | np.ndarray


class WindowIndices(NamedTuple):
    """Where windows begin.

    Attributes:
      env: `[batch]` integers in `0..num_envs-1`.
      time: `[batch]` integers. On the device the ring row of the first frame, reused when the ring wraps; on the host
        the number of the step since construction, never reused, so that an index names its frame for ever.
    """

    env: Array
    time: Array


class ReplaySample(NamedTuple):
    """How a batch was drawn.

    Attributes:
      indices: where each window begins.
      probabilities: `[batch]` float32, the chance of each window in one draw.
      weights: `[batch]` float32 in `(0, 1]`, importance weights of a prioritized draw; None for a uniform one.
    """

    indices: WindowIndices
    probabilities: Array
    weights: Array | None = None
