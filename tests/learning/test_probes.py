"""DQN finds the known action values of every probe: 16 seeds at once, of which all must."""

from __future__ import annotations

from typing import Any

import numpy as np
import optax
import pytest

from jaxdaw import networks
from jaxdaw.agents import DdqnAgent, DqnAgent
from jaxdaw.testing import PROBES, CutEpisode, Probe
from jaxdaw.training import LoopOptions
from jaxdaw.training._jax_trainer import JaxTrainer

GAMMA = 0.8


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: type(probe).__name__)
@pytest.mark.parametrize(
    ("kind", "options"),
    [(DqnAgent, {}), (DqnAgent, {"n_step_update": 3}), (DdqnAgent, {"target_update_tau": 0.05})],
    ids=["dqn", "dqn n-step", "ddqn soft target"],
)
def test_finds_the_action_values(kind: Any, options: dict[str, Any], probe: Probe):
    network = networks.QNetwork(probe.observation_spec, probe.action_spec, fc_layer_params=(32,))
    period = 1 if "target_update_tau" in options else 20
    # The largest error of any seed is below 1e-4 after 1500 steps as after 3000; where episodes are cut, 0.5 and 0.004.
    steps = 3000 if isinstance(probe, CutEpisode) else 1500
    optimizer = optax.adam(optax.linear_schedule(1e-2, 0.0, steps))
    agent = kind(
        probe.time_step_spec(),
        probe.action_spec,
        network,
        optimizer,
        gamma=GAMMA,
        epsilon_greedy=1.0,
        target_update_period=period,
        **options,
    )
    loop = LoopOptions(replay_capacity=2_000, learning_starts=400, updates=1, report_every=500)
    trainer = JaxTrainer(agent, probe, loop, seeds=tuple(range(16)))
    for _ in range(steps // 500 + 1):
        trainer.run()
    wanted = probe.action_values(GAMMA)
    for seed in range(16):
        agent.set_state(trainer.member(seed))
        found = np.asarray(network(probe.observations)[0])
        np.testing.assert_allclose(found, wanted, atol=0.05, err_msg=f"seed {seed}")
