"""Rows of a fixed data set."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.replay import RecordedSource


def test_recorded_rows_come_with_their_weights():
    source = RecordedSource(size=10, batch_size=4, updates=3)
    data = ({"x": jnp.arange(10)}, jnp.arange(10) / 10)
    rows = source.draw(jax.random.key(0), 2)
    assert rows.shape == (2, 3, 4)
    xs = source.batches(data, rows[1], lambda rollout: rollout)
    experience, weights, _ = source.batch(data, xs[2], 0)
    np.testing.assert_array_equal(experience["x"], rows[1, 2])
    np.testing.assert_allclose(weights, np.asarray(rows[1, 2]) / 10, rtol=1e-6)
