"""Small runs for the tests: seconds, not minutes."""

import dataclasses

from jaxdaw import environments
from jaxdaw.training import DqnConfig
from jaxdaw.training._fit import make_trainer

SMALL = DqnConfig(
    steps=3_000,
    n_step_update=1,
    learning_rate_end=1.0,
    num_envs=4,
    fc_layer_params=(16,),
    learning_starts=200,
    train_every=4,
    updates=2,
    report_every=500,
    eval_every=1_000,
    eval_episodes=3,
    checkpoint_every=1_000,
    replay_capacity=2_000,
)


def make_small(name, **changes):
    config = dataclasses.replace(SMALL, **changes)
    world = environments.make(name, num_envs=config.num_envs)
    agent = config.make_agent(world.time_step_spec(), world.action_spec)
    return make_trainer(agent, world, config.loop_options(), 0, config.num_envs)
