"""Small runs for the tests: seconds, not minutes."""

from jaxdaw.training import DqnConfig

SMALL = DqnConfig(
    steps=3_000,
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
