import dataclasses

import jax
import numpy as np
import optax
import pytest

from jaxdaw import environments
from jaxdaw.errors import ConfigError
from jaxdaw.metrics import EpisodeMetrics
from jaxdaw.replay import PrioritizedSource, PurePrioritizedReplay, UniformReplay, UniformSource
from jaxdaw.training._loop import Loop

from .worlds import SMALL


def make_loop(updates=2):
    world = environments.make("jax:CartPole-v1")
    agent = SMALL.make_agent(world.time_step_spec(), world.action_spec)
    replay = UniformReplay(agent.collect_data_spec, 500, 3)
    source = UniformSource(replay, num_steps=2, batch_size=8, updates=updates)
    return world, agent, Loop(agent, source, EpisodeMetrics(3, 2))


def test_one_scan_is_the_same_as_two_that_follow_each_other_in_steps_and_updates():
    world, agent, loop = make_loop()
    states, first = jax.vmap(world.init)(jax.random.split(jax.random.key(0), 3))
    state = loop.init(agent.init(jax.random.key(1)), first, jax.random.key(2))
    scan = jax.jit(loop.scan, static_argnums=(0, 4, 5))
    state, states = scan(world, state, states, jax.random.key(3), 20, 0)
    assert int(state.agent.train_step) == 0
    state, states = scan(world, state, states, jax.random.key(4), 5, 4)
    assert int(state.agent.train_step) == 5 * 2
    assert int(state.source.size) == 20 + 5 * 4
    assert int(state.losses.updates) == 10
    assert int(state.losses.refused) == 0
    assert np.isfinite(state.losses.total)


def test_an_interruption_cuts_the_episodes_under_way():
    world, agent, loop = make_loop()
    states, first = jax.vmap(world.init)(jax.random.split(jax.random.key(0), 3))
    state = loop.init(agent.init(jax.random.key(1)), first, jax.random.key(2))
    state, states = loop.scan(world, state, states, jax.random.key(3), 4, 0)
    _, fresh = jax.vmap(world.init)(jax.random.split(jax.random.key(9), 3))
    actions, _ = loop.draw(jax.random.key(5), 1, 0)
    state = loop.advance(loop.cut(state), fresh, jax.tree.map(lambda x: x[0], actions))
    frames = loop.source.replay.sample(state.source, jax.random.key(6), 200, 2)[0]
    cut = np.asarray(frames.step_type[:, 1]) == 2
    assert cut.any()
    np.testing.assert_array_equal(np.asarray(frames.next_step_type[:, 1])[cut], 0)


def test_actions_are_uniformly_random_in_the_first_steps_and_then_the_policy_s():
    world = environments.make("jax:CartPole-v1")
    config = dataclasses.replace(SMALL, epsilon_start=0.0, epsilon_end=0.0)
    agent = config.make_agent(world.time_step_spec(), world.action_spec)
    source = UniformSource(UniformReplay(agent.collect_data_spec, 500, 3), num_steps=2, batch_size=8, updates=1)
    loop = Loop(agent, source, EpisodeMetrics(3, 2), random_steps=60)
    _, first = jax.vmap(world.init)(jax.random.split(jax.random.key(0), 3))
    state = loop.init(agent.init(jax.random.key(1)), first, jax.random.key(2))
    randomness, _ = loop.draw(jax.random.key(3), 400, 0)

    @jax.jit
    def chosen(env_steps):
        at = state._replace(metrics=state.metrics._replace(env_steps=env_steps))
        return jax.vmap(lambda one: loop.act(at, first, one).action_step.action)(randomness)

    assert 0.4 < np.mean(chosen(np.int32(59))) < 0.6
    greedy = np.argmax(agent._q_network.apply(agent.policy_weights(state.agent), first.observation)[0], axis=-1)
    np.testing.assert_array_equal(chosen(np.int32(60)), np.tile(greedy, (400, 1)))


def prioritized_loop(changes, frames, updates=3):
    world = environments.make("jax:CartPole-v1")
    agent = dataclasses.replace(SMALL, **changes).make_agent(world.time_step_spec(), world.action_spec)
    replay = PurePrioritizedReplay(agent.collect_data_spec, 60, 2, frames, alpha=0.7)
    schedule = optax.linear_schedule(0.4, 1.0, 200)
    loop = Loop(agent, PrioritizedSource(replay, 8, updates, schedule), EpisodeMetrics(2, 2))
    states, first = jax.vmap(world.init)(jax.random.split(jax.random.key(0), 2))
    state = loop.init(agent.init(jax.random.key(1)), first, jax.random.key(2))
    state, states = jax.jit(loop.scan, static_argnums=(0, 4, 5))(world, state, states, jax.random.key(3), 40, 0)
    _, following = jax.vmap(world.step)(states, state.action_step.action)
    return agent, loop, state, following


@pytest.mark.parametrize(
    ("changes", "frames"),
    [({}, 2), ({"n_step_update": 3}, 4), ({"network": "rnn", "lstm_size": 4}, 5)],
    ids=["one step", "n-step", "rnn"],
)
def test_weights_reach_the_loss_and_errors_the_priorities_after_each_gradient_step(changes, frames, monkeypatch):
    agent, loop, state, following = prioritized_loop(changes, frames)
    actions, bits = loop.draw(jax.random.key(5), 1, 1)
    seen, update = [], jax.jit(agent.update)

    def record(agent_state, experience, weights):
        agent_state, info = update(agent_state, experience, weights)
        jax.debug.callback(lambda *seen_now: seen.append(seen_now), weights, info.extra.td_error, ordered=True)
        return agent_state, info

    monkeypatch.setattr(agent, "update", record)
    after = jax.jit(loop.advance)(state, following, jax.tree.map(lambda x: x[0], actions), bits[0])
    jax.effects_barrier()
    assert len(seen) == 3

    # By hand: 41 steps of 2 environments in 30 rows; the row at the cursor is the oldest, the newest start nothing.
    priorities = np.ones((30, 2))
    priorities[np.arange(41 - frames + 1, 41) % 30] = 0.0
    exponent = 0.4 + 0.6 * int(after.metrics.env_steps) / 200
    for words, (weights, errors) in zip(np.asarray(bits[0]), seen, strict=True):
        strata = (np.arange(8) + words / 2**32) / 8
        drawn = np.searchsorted(np.cumsum(priorities.ravel()), strata * priorities.sum(), side="right")
        values = priorities.ravel()[drawn]
        chances = values / values.sum()
        np.testing.assert_allclose(weights, chances**-exponent / np.max(chances**-exponent), rtol=1e-4)
        sizes = np.abs(errors)
        assert sizes.max() > 0
        if sizes.ndim == 2:  # a sequence: nine tenths of the largest, one tenth of the mean
            assert sizes.shape == (8, frames - 1)
            sizes = 0.9 * sizes.max(axis=1) + 0.1 * sizes.mean(axis=1)
        priorities.ravel()[drawn] = (sizes + 1e-6) ** 0.7
    np.testing.assert_allclose(after.source.tree[0][:60].reshape(30, 2), priorities, rtol=1e-4)
    assert float(after.source.highest) >= 1.0


def test_an_agent_that_reports_no_errors_cannot_learn_by_priority(monkeypatch):
    agent, loop, state, following = prioritized_loop({}, 2)
    actions, bits = loop.draw(jax.random.key(5), 1, 1)
    update = agent.update
    monkeypatch.setattr(agent, "update", lambda *a: (update(*a)[0], update(*a)[1]._replace(extra=())))
    with pytest.raises(ConfigError, match="reports no temporal-difference errors"):
        jax.eval_shape(loop.advance, state, following, jax.tree.map(lambda x: x[0], actions), bits[0])
