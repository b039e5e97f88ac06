"""PPO finds the values and the actions of probes: 16 seeds at once, of which all must."""

from __future__ import annotations

import numpy as np
import optax
import pytest

from jaxdaw import networks
from jaxdaw.agents import PPOClipAgent
from jaxdaw.testing import PROBES, CutEpisode, MatchedReward, Probe
from jaxdaw.training import LoopOptions
from jaxdaw.training._jax_trainer import JaxTrainer

GAMMA, PHASES = 0.8, 100
TELLING = [probe for probe in PROBES if isinstance(probe, CutEpisode | MatchedReward)]


@pytest.mark.parametrize("probe", TELLING, ids=lambda probe: type(probe).__name__)
def test_finds_the_values_and_the_actions(probe: Probe):
    """A time limit of 4 steps does not change the value of going on for ever: 5, where termination would be 2.95."""
    actor = networks.ActorDistributionNetwork(probe.observation_spec, probe.action_spec, fc_layer_params=(16,))
    value = networks.ValueNetwork(probe.observation_spec, fc_layer_params=(16,))
    agent = PPOClipAgent(
        probe.time_step_spec(),
        probe.action_spec,
        optax.adam(optax.linear_schedule(3e-2, 0.0, PHASES * 8)),
        actor,
        value,
        discount_factor=GAMMA,
        use_gae=True,
        use_td_lambda_return=True,
        normalize_rewards=False,
        normalize_observations=False,
    )
    loop = LoopOptions(
        replay="rollout", train_every=16, learning_starts=0, report_every=16 * 4 * PHASES, epochs=4, minibatches=2,
        by_sequence=False, overlap=1,
    )  # fmt: skip
    trainer = JaxTrainer(agent, probe, loop, seeds=tuple(range(16)), num_envs=4)
    for _ in range(2):  # the first run records a rollout without learning
        trainer.run()
    wanted = probe.action_values(GAMMA)
    for seed in range(16):
        agent.set_state(trainer.member(seed))
        np.testing.assert_allclose(value(probe.observations)[0], wanted.max(1), atol=0.1, err_msg=f"seed {seed}")
        chosen = np.asarray(agent.policy.action(probe.observations).action)
        np.testing.assert_array_equal(wanted[np.arange(len(wanted)), chosen], wanted.max(1))
