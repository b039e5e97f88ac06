"""What only the trainer of pure environments does."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxdaw import environments, training

from .worlds import SMALL, make_small


@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
def test_a_population_equals_its_members_trained_alone(replay):
    world = environments.make("jax:CartPole-v1")
    # Draws by priorities part for good where two of them part in the last bit: few gradient steps are compared.
    config = dataclasses.replace(SMALL, num_envs=1, replay=replay, report_every=40)

    def train(seeds):
        agent = config.make_agent(world.time_step_spec(), world.action_spec)
        trainer = training.JaxTrainer(agent, world, config.loop_options(), seeds, 1)
        for _ in training.reports(trainer, 240):
            pass
        return trainer

    many = train((3, 4, 5))
    pair = train((4, 5))
    for a, b in zip(jax.tree.leaves(many.member(1).params), jax.tree.leaves(pair.member(0).params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_prioritized_run_goes_on_exactly_from_a_checkpoint_and_nothing_recompiles(tmp_path):
    whole, half, again = (make_small("jax:CartPole-v1", replay="prioritized") for _ in range(3))
    for _ in range(4):
        whole.run()
    half.run(), half.run()
    checkpointer = training.Checkpointer(tmp_path, keep=1)
    checkpointer.save(half.env_steps, half.tree(), {})
    again.restore(checkpointer.restore(again.tree())[1])
    again.run(), again.run()
    ours, theirs = (jax.tree.leaves(jax.device_get(trainer.tree())) for trainer in (again, whole))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    assert whole._advance._cache_size() == 2  # the warm-up, and the rest
