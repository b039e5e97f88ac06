"""The neural epsilon-greedy agent: what it adds to reward prediction."""

import jax
import numpy as np
import optax
import pytest

from jaxdaw.errors import ConfigError
from jaxdaw.policies import EpsilonGreedyPolicy, GreedyRewardPredictionPolicy
from jaxdaw.trajectories import restart

from .bandits import CONTEXTS, decisions, make


def test_policy_explores_and_greedy_does_not():
    agent = make(epsilon=0.3)
    assert agent.policy is agent.collect_policy
    assert isinstance(agent.policy, EpsilonGreedyPolicy)
    assert isinstance(agent.policy.greedy(), GreedyRewardPredictionPolicy)
    step = restart(CONTEXTS, batch_size=2)
    np.testing.assert_allclose(agent.policy.distribution(step).action.probs, [[0.1, 0.1, 0.8]] * 2, rtol=1e-5)
    np.testing.assert_array_equal(agent.policy.greedy().action(step).action, [2, 2])


def test_greedy_follows_the_training():
    agent = make(optimizer=optax.sgd(0.02))
    greedy = agent.policy.greedy()
    for _ in range(200):
        agent.train(decisions(reward=np.float32([20, -20]), action=np.int32([0, 2])))
    chosen = greedy.action(restart(CONTEXTS, batch_size=2)).action
    assert chosen[0] == 0  # 20, against 13 for action 1, which was never taken
    assert chosen[1] != 2  # -20


def test_epsilon_may_follow_a_schedule():
    agent = make(epsilon=optax.linear_schedule(1.0, 0.0, 10))
    state = agent.get_state()
    assert [float(agent.collect_policy_weights(state, step)[1]) for step in (0, 5, 10)] == [1.0, 0.5, 0.0]
    agent.policy.step = 5
    assert float(agent.policy_weights(state)[1]) == 0.5
    rates = iter([0.25, 0.75])
    asked = make(epsilon=lambda: next(rates))
    assert [float(asked.policy.get_weights()[1]), float(asked.policy_weights(state)[1])] == [0.25, 0.75]


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, None, np.nan])
def test_epsilon_must_be_a_probability(epsilon):
    with pytest.raises(ConfigError, match=r"epsilon in \[0, 1\]"):
        make(epsilon=epsilon)


def test_a_population_learns_in_one_program():
    agent = make()
    states = jax.vmap(agent.init)(jax.random.split(jax.random.key(0), 3))
    states, info = jax.vmap(agent.update, in_axes=(0, None))(states, decisions())
    assert len(np.unique(info.loss)) == 3
