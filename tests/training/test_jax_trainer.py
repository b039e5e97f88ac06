"""What only the trainer of pure environments does."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import environments, training
from jaxdaw.training._jax_trainer import JaxTrainer

from .worlds import SMALL, make_small


@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
def test_a_population_equals_its_members_trained_alone(replay):
    world = environments.make("jax:CartPole-v1")
    config = dataclasses.replace(SMALL, num_envs=1, replay=replay, report_every=40)

    def make(seeds):
        agent = config.make_agent(world.time_step_spec(), world.action_spec)
        return JaxTrainer(agent, world, config.loop_options(), seeds, 1)

    many, pair = make((3, 4, 5)), make((4, 5))
    for chunk in range(25):
        if chunk and replay == "prioritized":  # draws by priorities part for good where two part in the last bit
            pair.restore(_last_two(many.tree(), pair.tree()))
        many.run(), pair.run()
        for a, b in zip(jax.tree.leaves(many.member(1).params), jax.tree.leaves(pair.member(0).params), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=f"chunk {chunk}")
    assert many.member(1).train_step > 300


def _last_two(tree, like):
    """The tree of a population with its last two members alone, dealt to programs as in `like`."""
    dealt = dict(tree)
    sizes = [len(jax.tree.leaves(shard.agent.params)[0]) for shard in like["loop"]]
    ends = np.cumsum(sizes)
    for name in ("loop", "environment"):
        # Members that keep step share one position in their replays: a number without their axis.
        whole = jax.tree.map(lambda *x: jnp.concatenate(x)[-2:] if x[0].ndim else x[0], *tree[name])
        dealt[name] = [
            jax.tree.map(lambda x: x[end - size : end] if x.ndim else x, whole)  # noqa: B023  used at once
            for size, end in zip(sizes, ends, strict=True)
        ]
    return dealt


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
