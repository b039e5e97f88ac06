"""What only the trainer of host environments does."""

import jax
import numpy as np
import pytest

from jaxdaw import environments
from jaxdaw.errors import ConfigError
from jaxdaw.training import LoopOptions
from jaxdaw.training._fit import make_trainer

from .worlds import SMALL, make_small


@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
def test_nothing_recompiles_after_warm_up(replay):
    trainer = make_small("CartPole-v1", replay=replay)
    for _ in range(6):
        trainer.run()
    assert trainer._advance._cache_size() == 2  # with and without learning


def test_a_restored_trainer_has_the_same_priorities():
    trainer, again = (make_small("CartPole-v1", replay="prioritized") for _ in range(2))
    for _ in range(3):
        trainer.run()
    tree = jax.tree.map(np.array, jax.device_get(trainer.tree()))
    again.restore(tree)
    before, after = tree["loop"].source, again.state.source
    added = (int(before.ring.cursor) + np.arange(-1, 1)) % 500 * 4  # the reset of the environments adds a step
    untouched = np.setdiff1d(np.arange(2000), added[:, None] + np.arange(4))
    np.testing.assert_array_equal(np.asarray(after.tree[0])[untouched], before.tree[0][untouched])
    assert len(np.unique(before.tree[0])) > 100
    assert after.highest == before.highest


def host_trainer(seed=0):
    world = environments.make("CartPole-v1", num_envs=4)
    agent = SMALL.make_agent(world.time_step_spec(), world.action_spec, seed)
    options = LoopOptions(replay="host", replay_capacity=2_000, train_every=4, updates=2, report_every=400)
    return make_trainer(agent, world, options, seed)


def test_frames_kept_on_the_host_train_and_nothing_recompiles():
    trainer = host_trainer()
    reports = [trainer.run() for _ in range(5)]
    assert reports[-1].updates == 2 * 25
    assert np.isfinite(reports[-1].loss)
    assert trainer._learn._cache_size() == trainer._record._cache_size() == trainer._act._cache_size() == 1


def test_a_trainer_whose_frames_are_on_the_host_is_restored_with_them():
    trainer, again = host_trainer(), host_trainer()
    for _ in range(4):
        trainer.run()
    tree = jax.tree.map(np.array, jax.device_get(trainer.tree()))
    again.restore(tree)
    jax.tree.map(np.testing.assert_array_equal, again.tree()["loop"].agent, tree["loop"].agent)
    assert int(again.tree()["replay"]["end"]) == int(tree["replay"]["end"]) + 1  # the reset adds a step
    assert np.isfinite(again.run().loss)


def test_pure_environments_cannot_keep_their_frames_on_the_host():
    world = environments.make("jax:CartPole-v1")
    agent = SMALL.make_agent(world.time_step_spec(), world.action_spec)
    with pytest.raises(ConfigError, match="replay uniform, prioritized or rollout"):
        make_trainer(agent, world, LoopOptions(replay="host"))
