"""DDPG and TD3 find the best actions of continuous probes, and their values: 16 seeds at once, of which all must."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import optax
import pytest

from jaxdaw import networks
from jaxdaw.agents import DdpgAgent, Td3Agent
from jaxdaw.testing import ContinuousProbe, CutSteering, SteeredReward
from jaxdaw.training import LoopOptions
from jaxdaw.training._jax_trainer import JaxTrainer

GAMMA, UPDATES = 0.8, 1_000
TD3 = {"exploration_noise_std": 0.5, "target_policy_noise": 0.02, "actor_update_period": 2}


@pytest.mark.parametrize(
    ("kind", "options", "probe"),
    [(Td3Agent, TD3, SteeredReward()), (Td3Agent, TD3, CutSteering()), (DdpgAgent, {"ou_stddev": 0.5}, CutSteering())],
    ids=["td3 steered", "td3 cut", "ddpg cut"],
)
def test_finds_the_best_actions_and_their_values(kind: Any, options: dict[str, Any], probe: ContinuousProbe):
    """The largest errors of 16 seeds were 0.1 in an action and 0.03 in a value."""
    both = (probe.observation_spec, probe.action_spec)
    actor = networks.ActorNetwork(*both, fc_layer_params=(16,))
    critic = networks.CriticNetwork(both, joint_fc_layer_params=(32,))
    rates = [optax.adam(optax.linear_schedule(1e-2, 0.0, UPDATES)) for _ in range(2)]
    agent = kind(
        probe.time_step_spec(), probe.action_spec, actor, critic, *rates, gamma=GAMMA, target_update_tau=0.05, **options
    )
    loop = LoopOptions(
        batch_size=32, replay_capacity=2_000, learning_starts=400, random_starts=True, updates=8, report_every=UPDATES
    )
    trainer = JaxTrainer(agent, probe, loop, seeds=tuple(range(16)), num_envs=8)
    for _ in range(2):  # nothing is learned in the first
        trainer.run()
    for seed in range(16):
        state = jax.device_get(trainer.member(seed))
        action = np.asarray(actor.apply(agent.weights_of(state, "actor_network"), probe.observations)[0])
        np.testing.assert_allclose(action, probe.best_actions, atol=0.2, err_msg=f"seed {seed}")
        pair = (probe.observations, probe.best_actions)
        values = np.asarray(critic.apply(agent.weights_of(state, "critic_network"), pair)[0])
        np.testing.assert_allclose(values, probe.best_values(GAMMA), atol=0.1, err_msg=f"seed {seed}")
