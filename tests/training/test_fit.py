"""Training in one call."""

from jaxdaw import environments, training

from .worlds import SMALL


def test_a_callback_sees_every_report_and_can_end_the_training():
    seen = []
    world = environments.make("jax:CartPole-v1")
    agent = SMALL.make_agent(world.time_step_spec(), world.action_spec)

    def watch(report, trainer):
        seen.append(report.env_steps)
        return len(seen) < 3

    training.fit(agent, world, 100_000, SMALL.loop_options(), callbacks=(watch,))
    assert len(seen) == 3
    assert int(agent.train_step_counter) > 0
