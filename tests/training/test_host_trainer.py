"""What only the trainer of host environments does."""

import jax
import numpy as np
import pytest

from .worlds import make_small


@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
def test_nothing_recompiles_after_warm_up(replay):
    trainer = make_small("CartPole-v1", replay=replay)
    for _ in range(6):
        trainer.run()
    assert (trainer._learn._cache_size(), trainer._collect._cache_size()) == (1, 1)


def test_a_restored_trainer_has_the_same_priorities():
    trainer, again = (make_small("CartPole-v1", replay="prioritized") for _ in range(2))
    for _ in range(3):
        trainer.run()
    tree = jax.tree.map(np.array, jax.device_get(trainer.tree()))
    again.restore(tree)
    before, after = tree["loop"].replay, again.state.replay
    added = (int(before.ring.cursor) + np.arange(-1, 1)) % 500 * 4  # the reset of the environments adds a step
    untouched = np.setdiff1d(np.arange(2000), added[:, None] + np.arange(4))
    np.testing.assert_array_equal(np.asarray(after.tree[0])[untouched], before.tree[0][untouched])
    assert len(np.unique(before.tree[0])) > 100
    assert after.highest == before.highest
