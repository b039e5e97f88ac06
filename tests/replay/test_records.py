"""Records of a draw are pytrees that name their fields."""

from __future__ import annotations

import jax
import numpy as np

from jaxdaw.replay import ReplaySample, WindowIndices


def test_records_pass_through_transformations():
    indices = WindowIndices(env=np.arange(3), time=np.arange(3) + 5)
    sample = ReplaySample(indices, np.full(3, 0.25, np.float32))
    assert sample.weights is None  # a uniform draw has none
    doubled = jax.jit(lambda record: jax.tree.map(lambda leaf: leaf * 2, record))(sample)
    assert isinstance(doubled, ReplaySample)
    assert doubled.indices.time.tolist() == [10, 12, 14]
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(sample)]
    assert paths == [".indices.env", ".indices.time", ".probabilities"]
