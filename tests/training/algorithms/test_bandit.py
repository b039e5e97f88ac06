"""Options of bandits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.agents import EnsembleThompsonSamplingAgent, GreedyRewardPredictionAgent, LinearUCBAgent
from jaxdaw.environments import BernoulliBandit, LinearBandit
from jaxdaw.errors import ConfigError
from jaxdaw.policies import FastCBPolicy, SquareCBPolicy
from jaxdaw.training import BanditConfig

COINS, LINEAR = BernoulliBandit(), LinearBandit()


def agent_of(config: BanditConfig, world):
    return config.make_agent(world.time_step_spec(), world.action_spec)


@pytest.mark.parametrize(
    "options",
    [
        {"learn_every": 0}, {"updates": 0}, {"batch_size": 0}, {"reports": 0}, {"horizon": -1}, {"epsilon_end": 1.5},
        {"gamma_scale": -1.0}, {"learning_rate": 0.0}, {"replay_capacity": 3}, {"temperature": 0.0},
        {"eager_updates": 0},
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_refused(options):
    with pytest.raises(ConfigError):
        BanditConfig(**options)


def test_rewards_that_are_promised_to_be_0_or_1_are_learned_as_probabilities():
    predicted = agent_of(BanditConfig(), COINS).policy.greedy().distribution(np.ones((1, 1), np.float32))
    assert ((np.asarray(predicted.action.logits) > 0) & (np.asarray(predicted.action.logits) < 1)).all()
    linear = agent_of(BanditConfig(), LINEAR).policy.greedy()
    values = np.asarray(linear.distribution(1e4 * np.ones((1, 10), np.float32)).action.logits)
    assert not ((values > 0) & (values < 1)).all()


def test_gamma_grows_with_the_root_of_actions_and_rounds():
    policy = agent_of(BanditConfig(gamma_scale=3.0, exploration="squarecb"), COINS).collect_policy
    assert type(policy) is SquareCBPolicy
    np.testing.assert_allclose(policy.exploration_at(24), 3 * np.sqrt(4 * 25), rtol=1e-6)


def test_probabilities_are_explored_by_what_the_best_action_loses():
    """At a loss of a quarter FastCB is SquareCB; rewards without bounds have no such loss."""
    policy = agent_of(BanditConfig(gamma_scale=3.0), COINS).collect_policy
    assert type(policy) is FastCBPolicy
    np.testing.assert_allclose(policy.exploration_at(24) / 0.25, 3 * np.sqrt(4 * 25), rtol=1e-6)
    assert type(agent_of(BanditConfig(), LINEAR).collect_policy) is SquareCBPolicy


def test_gradient_steps_are_counted_as_they_are_taken():
    """64 single decisions with 4 steps each, then 6 steps after every 16 decisions."""
    config = BanditConfig(eager_rounds=64, eager_updates=4, learn_every=16, updates=6)
    np.testing.assert_array_equal(config.gradient_steps(np.array([0, 1, 64, 65, 80, 15_000])),
                                  [0, 4, 256, 256, 262, 256 + 14_936 * 6 // 16])  # fmt: skip


def test_explorations_are_agents():
    assert type(agent_of(BanditConfig(exploration="greedy"), COINS)) is GreedyRewardPredictionAgent
    assert isinstance(agent_of(BanditConfig(exploration="linucb"), COINS), LinearUCBAgent)
    assert isinstance(agent_of(BanditConfig(exploration="ensemble"), COINS), EnsembleThompsonSamplingAgent)


def test_what_was_certain_to_fail_is_learned_again():
    """A logit of -20 and a success: the gradient is 2**23 p (1 - p) with p = exp(-20), 2e-2 and not 0."""
    loss = BanditConfig().make_agent(COINS.time_step_spec(), COINS.action_spec)._error_loss_fn
    gradient = jax.grad(lambda z: loss(jnp.float32(1.0), jax.nn.sigmoid(z)))(jnp.float32(-20.0))
    np.testing.assert_allclose(gradient, -(2.0**23) * np.exp(-20), rtol=1e-3)
    assert np.isfinite(loss(jnp.float32(0.0), jnp.float32(1.0)))
