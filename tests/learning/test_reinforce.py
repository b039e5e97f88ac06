"""REINFORCE on pure CartPole: sixteen seeds in one program."""

import dataclasses

import numpy as np

from jaxdaw import environments
from jaxdaw.training import ReinforceConfig
from jaxdaw.training._fit import reports
from jaxdaw.training._jax_trainer import JaxTrainer


def test_most_seeds_balance_the_pole_for_long_after_a_hundred_thousand_steps():
    """A policy of random actions keeps it up for 22 steps; of 8 seeds the worst had 145 by then, the median 210."""
    config = ReinforceConfig(learning_rate_end=1.0)
    world = environments.make("jax:CartPole-v1")
    agent = config.make_agent(world.time_step_spec(), world.action_spec)
    options = dataclasses.replace(config.loop_options(), report_every=12_000)
    trainer = JaxTrainer(agent, world, options, tuple(range(16)), config.num_envs)
    last = list(reports(trainer, 110_000))[-1]
    means = np.array([member.mean_return for member in last.members])
    assert np.quantile(means, 0.25) > 100, means
