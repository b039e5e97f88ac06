"""Rollouts: the latest steps, prepared once, in epochs and minibatches."""

import jax
import numpy as np
import pytest

from jaxdaw.errors import ConfigError
from jaxdaw.replay import RolloutSource

from .frames import SPEC, filled, key_data


@pytest.mark.parametrize("overlap", [0, 1, 2])
@pytest.mark.parametrize("num_steps", [1, 3])
def test_a_rollout_is_the_latest_steps_in_order_with_those_that_overlap_in_front(num_steps, overlap):
    source = RolloutSource(SPEC, num_envs=2, num_steps=num_steps, overlap=overlap)
    assert (source.updates, source.warm_up) == (1, num_steps if overlap else 0)
    for steps in (num_steps + overlap, 7, 11):
        if steps < num_steps + overlap:
            continue
        xs = source.batches(filled(source, steps), key_data(0), lambda rollout: rollout)
        batch, weights, _ = source.batch(None, jax.tree.map(lambda x: x[0], xs), 0)
        assert weights is None
        np.testing.assert_array_equal(batch["step"], [np.arange(steps - num_steps - overlap, steps)] * 2)
        np.testing.assert_array_equal(batch["env"][:, 0], [0, 1])


@pytest.mark.parametrize("by_sequence", [False, True])
def test_every_epoch_passes_over_the_rollout_once_in_an_order_of_its_own(by_sequence):
    source = RolloutSource(SPEC, 4, 6, epochs=3, minibatches=2, by_sequence=by_sequence)
    xs = jax.jit(source.batches, static_argnums=2)(filled(source, 6), key_data(0), lambda rollout: rollout)
    assert xs["step"].shape == ((6, 2, 6) if by_sequence else (6, 12))
    epochs = np.asarray(xs["env"] * 6 + xs["step"]).reshape(3, -1)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(24))
    assert not np.array_equal(epochs[0], epochs[1])


def test_prepare_sees_the_whole_rollout_once():
    source, seen = RolloutSource(SPEC, 2, 4, epochs=2, minibatches=4, by_sequence=False), []

    def prepare(rollout):
        seen.append(rollout["step"].shape)
        return {"advantage": rollout["step"] * 10}

    xs = source.batches(filled(source, 4), key_data(1), prepare)
    assert seen == [(2, 4)]
    assert xs["advantage"].shape == (8, 2)


def test_rollouts_that_do_not_divide_are_refused():
    with pytest.raises(ConfigError, match="dealt evenly"):
        RolloutSource(SPEC, 3, 4, minibatches=2)
    source = RolloutSource(SPEC, 3, 3, minibatches=2, by_sequence=False)
    with pytest.raises(ConfigError, match="9 frames"):
        source.batches(filled(source, 3), key_data(0), lambda rollout: rollout)
    with pytest.raises(ConfigError, match="9 frames"):  # at once, where it is known how many there will be
        RolloutSource(SPEC, 3, 3, minibatches=2, by_sequence=False, overlap=1)
    with pytest.raises(ConfigError, match="epochs is outside its range"):
        RolloutSource(SPEC, 3, 4, epochs=0)
