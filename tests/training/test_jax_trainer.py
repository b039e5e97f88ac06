"""What only the trainer of pure environments does."""

import dataclasses

import jax
import numpy as np

from jaxdaw import environments, training

from .worlds import SMALL


def test_a_population_equals_its_members_trained_alone():
    world = environments.make("jax:CartPole-v1")
    config = dataclasses.replace(SMALL, num_envs=1)

    def train(seeds):
        agent = config.make_agent(world.time_step_spec(), world.action_spec)
        trainer = training.JaxTrainer(agent, world, config.loop_options(), seeds, 1)
        for _ in training.reports(trainer, 1_000):
            pass
        return trainer

    many = train((3, 4, 5))
    pair = train((4, 5))
    for a, b in zip(jax.tree.leaves(many.member(1).params), jax.tree.leaves(pair.member(0).params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
