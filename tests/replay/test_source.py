"""Batches of replays: which windows, and from when on."""

import jax
import numpy as np

from jaxdaw.replay import UniformReplay, UniformSource

from .frames import SPEC, filled


def test_uniform_windows_are_the_same_drawn_together_or_one_batch_at_a_time(monkeypatch):
    source = UniformSource(UniformReplay(SPEC, 40, 2), num_steps=3, batch_size=5, updates=4)
    state, bits = filled(source, 12), source.draw(jax.random.key(0), 1)[0]

    def drawn():
        xs = source.batches(state, bits, lambda rollout: rollout)
        return [source.batch(state, jax.tree.map(lambda x: x[k], xs), 0)[0] for k in range(4)]  # noqa: B023

    together = drawn()
    monkeypatch.setattr("jaxdaw.replay._source._GATHERED_AT_ONCE", 0)
    jax.tree.map(np.testing.assert_array_equal, together, drawn())
    assert together[0]["step"].shape == (5, 3)


def test_a_source_knows_how_many_steps_a_window_needs():
    assert UniformSource(UniformReplay(SPEC, 40, 2), 3, 5, 4).warm_up == 3
