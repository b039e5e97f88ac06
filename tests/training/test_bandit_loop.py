"""The loop of bandits against the same steps by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.environments import LinearBandit
from jaxdaw.training import BanditConfig

WORLD = LinearBandit(num_actions=3, size=2)


def loop_of(capacity: int, **options):
    config = BanditConfig(batch_size=8, fc_layer_params=(8,), **options)
    agent = config.make_agent(WORLD.time_step_spec(), WORLD.action_spec)
    return config.make_loop(agent, WORLD, capacity)


def test_what_was_decided_is_remembered_with_what_it_earned():
    loop = loop_of(12)
    run = jax.jit(loop.run, static_argnums=(2, 3))
    state, sums = run(loop.init(jax.random.key(0)), np.array([3, 0, 2]), 4, 3)
    rounds = WORLD.draw_rounds(state.problem, state.key_rounds, 0, 12)
    np.testing.assert_allclose(state.memory.observation, rounds.observation, rtol=1e-6)
    action = np.asarray(state.memory.action)
    earned = np.asarray(rounds.rewards)[np.arange(12), action]
    np.testing.assert_allclose(state.memory.reward, earned, rtol=1e-6, atol=1e-7)  # sums that cancel to a hundredth
    assert (int(state.time), int(sums.rounds), int(state.agent.train_step)) == (12, 12, 3 + 0 + 2)
    np.testing.assert_allclose(state.reward_squares, np.sum(np.asarray(state.memory.reward) ** 2), rtol=1e-5)
    assert (np.exp(np.asarray(state.memory.policy_info.log_probability)) > 0).all()


def test_only_the_latest_are_kept():
    loop = loop_of(8)
    state, _ = loop.run(loop.init(jax.random.key(0)), np.full(3, 2), 4, 2)
    rounds = WORLD.draw_rounds(state.problem, state.key_rounds, 0, 12)
    kept = np.concatenate([rounds.observation[8:12], rounds.observation[4:8]])  # the ring begins again at 8
    np.testing.assert_allclose(state.memory.observation, kept, rtol=1e-6)


def test_exact_models_learn_each_decision_once():
    loop = loop_of(4, exploration="linucb")
    state, _ = loop.run(loop.init(jax.random.key(0)), np.full(5, 2), 4, 2)
    assert int(state.agent.train_step) == 5
    assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(state.memory.observation))


def test_the_scale_is_the_root_mean_square_and_at_least_1():
    state = loop_of(4).init(jax.random.key(0))
    assert float(state.scale) == 1.0
    assert float(state._replace(time=jnp.int32(4), reward_squares=jnp.float32(100.0)).scale) == 5.0
