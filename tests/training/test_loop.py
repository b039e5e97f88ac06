import jax
import numpy as np

from jaxdaw import environments
from jaxdaw.metrics import EpisodeMetrics
from jaxdaw.replay import UniformReplay
from jaxdaw.training import Loop

from .worlds import SMALL


def make_loop(updates=2):
    world = environments.make("jax:CartPole-v1")
    agent = SMALL.make_agent(world.time_step_spec(), world.action_spec)
    replay = UniformReplay(agent.collect_data_spec, 500, 3)
    return world, agent, Loop(agent, replay, EpisodeMetrics(3, 2), batch_size=8, sequence_length=2, updates=updates)


def test_one_scan_is_the_same_as_two_that_follow_each_other_in_steps_and_updates():
    world, agent, loop = make_loop()
    states, first = jax.vmap(world.init)(jax.random.split(jax.random.key(0), 3))
    state = loop.init(agent.init(jax.random.key(1)), first, jax.random.key(2))
    scan = jax.jit(loop.scan, static_argnums=(0, 4, 5))
    state, states = scan(world, state, states, jax.random.key(3), 20, 0)
    assert int(state.agent.train_step) == 0
    state, states = scan(world, state, states, jax.random.key(4), 5, 4)
    assert int(state.agent.train_step) == 5 * 2
    assert int(state.replay.size) == 20 + 5 * 4
    assert int(state.losses.updates) == 10
    assert int(state.losses.refused) == 0
    assert np.isfinite(state.losses.total)


def test_an_interruption_cuts_the_episodes_under_way():
    world, agent, loop = make_loop()
    states, first = jax.vmap(world.init)(jax.random.split(jax.random.key(0), 3))
    state = loop.init(agent.init(jax.random.key(1)), first, jax.random.key(2))
    state, states = loop.scan(world, state, states, jax.random.key(3), 4, 0)
    _, fresh = jax.vmap(world.init)(jax.random.split(jax.random.key(9), 3))
    state = loop.interrupt(state, fresh, jax.random.key(5))
    frames = loop.replay.sample(state.replay, jax.random.key(6), 200, 2)[0]
    cut = np.asarray(frames.step_type[:, 1]) == 2
    assert cut.any()
    np.testing.assert_array_equal(np.asarray(frames.next_step_type[:, 1])[cut], 0)
