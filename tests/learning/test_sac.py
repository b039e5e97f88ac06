"""SAC finds the best actions of the continuous probes, and discrete SAC the values of a discrete one: 16 seeds, all.

`CutSteering` is cut by a time limit of 4 steps: the value of the start that is learned there is that of the task
without a limit.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import optax
import pytest

from jaxdaw import networks
from jaxdaw.agents import DiscreteSacAgent, SacAgent
from jaxdaw.testing import CONTINUOUS_PROBES, ContinuousProbe, CutSteering, MatchedReward
from jaxdaw.training import LoopOptions
from jaxdaw.training._jax_trainer import JaxTrainer

GAMMA = 0.8


def trained(probe: Any, kind: type[SacAgent], critic: Any, actor: Any, steps: int, **options: Any) -> JaxTrainer:
    """A population of 16 seeds, whose learning rates fall to 0."""
    optimizers = [optax.adam(optax.linear_schedule(1e-2, 0.0, steps)) for _ in range(3)]
    agent = kind(
        probe.time_step_spec(),
        probe.action_spec,
        critic,
        actor,
        *optimizers,
        gamma=GAMMA,
        target_update_tau=0.05,
        initial_log_alpha=-2.0,
        **options,
    )
    loop = LoopOptions(
        replay_capacity=2_000, learning_starts=400, random_starts=True, updates=1, report_every=500, batch_size=32
    )
    trainer = JaxTrainer(agent, probe, loop, seeds=tuple(range(16)))
    for _ in range(steps // 500 + 1):
        trainer.run()
    return trainer


@pytest.mark.parametrize("probe", CONTINUOUS_PROBES, ids=lambda probe: type(probe).__name__)
def test_finds_the_best_actions_and_their_values(probe: ContinuousProbe):
    both = (probe.observation_spec, probe.action_spec)
    actor = networks.ActorDistributionNetwork(
        *both, fc_layer_params=(16,), continuous_projection_net=networks.TanhNormalProjection
    )
    critic = networks.CriticNetwork(both, joint_fc_layer_params=(32,))
    steps = 2_000 if isinstance(probe, CutSteering) else 1_500
    # An entropy of -2 nats is a deviation of 0.03, and a temperature of twice its square: their rewards are negligible.
    trainer = trained(probe, SacAgent, critic, actor, steps, target_entropy=-2.0)
    agent: Any = trainer.agent
    for seed in range(16):
        state = jax.device_get(trainer.member(seed))
        action = actor.apply(agent.weights_of(state, "actor_network"), probe.observations)[0].mode()
        np.testing.assert_allclose(action, probe.best_actions, atol=0.1, err_msg=f"seed {seed}")
        pair = (probe.observations, probe.best_actions)
        values = critic.apply(agent.weights_of(state, "critic_network"), pair)[0]
        np.testing.assert_allclose(values, probe.best_values(GAMMA), atol=0.1, err_msg=f"seed {seed}")


def test_discrete_sac_finds_the_action_values():
    probe = MatchedReward()
    both = (probe.observation_spec, probe.action_spec)
    actor = networks.ActorDistributionNetwork(*both, fc_layer_params=(16,))
    critic = networks.QNetwork(*both, fc_layer_params=(16,))
    trainer = trained(probe, DiscreteSacAgent, critic, actor, 1_000, target_entropy=0.01)
    agent: Any = trainer.agent
    for seed in range(16):
        state = jax.device_get(trainer.member(seed))
        values = critic.apply(agent.weights_of(state, "critic_network"), probe.observations)[0]
        np.testing.assert_allclose(values, probe.action_values(GAMMA), atol=0.1, err_msg=f"seed {seed}")
        chosen = actor.apply(agent.weights_of(state, "actor_network"), probe.observations)[0].mode()
        np.testing.assert_array_equal(chosen, [0, 1])
