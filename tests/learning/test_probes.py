"""DQN, C51 and QR-DQN find the known action values of every probe: 16 seeds at once, of which all must."""

from __future__ import annotations

from typing import Any

import numpy as np
import optax
import pytest

from jaxdaw import networks
from jaxdaw.agents import CategoricalDqnAgent, DdqnAgent, DqnAgent, QrDqnAgent
from jaxdaw.testing import PROBES, CutEpisode, MatchedReward, Probe
from jaxdaw.training import LoopOptions
from jaxdaw.training._jax_trainer import JaxTrainer

GAMMA = 0.8


KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "dqn": (DqnAgent, {}),
    "dqn n-step": (DqnAgent, {"n_step_update": 3}),
    "ddqn soft target": (DdqnAgent, {"target_update_tau": 0.05}),
    "c51": (CategoricalDqnAgent, {"min_q_value": -1.0, "max_q_value": 5.0}),
    "qrdqn": (QrDqnAgent, {}),
}
LAST_OF_THEIR_KIND = (MatchedReward, CutEpisode)
"""Whoever finds these values finds those of the other probes: variants of DQN go through them alone."""


@pytest.mark.parametrize(
    ("probe", "kind", "options"),
    [
        pytest.param(probe, *KINDS[name], id=f"{name}-{type(probe).__name__}")
        for name in KINDS
        for probe in PROBES
        if isinstance(probe, LAST_OF_THEIR_KIND) or name not in ("c51", "qrdqn")
    ],
)
def test_finds_the_action_values(probe: Probe, kind: Any, options: dict[str, Any]):
    network = _network(kind, probe)
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
        found = np.asarray(agent.policy.wrapped_policy.values_of(network(probe.observations)[0]))
        np.testing.assert_allclose(found, wanted, atol=0.05, err_msg=f"seed {seed}")


def _network(kind: Any, probe: Probe) -> networks.Network:
    given = probe.observation_spec, probe.action_spec
    if kind is CategoricalDqnAgent:
        return networks.CategoricalQNetwork(*given, num_atoms=5, fc_layer_params=(32,))
    if kind is QrDqnAgent:
        return networks.QuantileQNetwork(*given, num_quantiles=4, fc_layer_params=(32,))
    return networks.QNetwork(*given, fc_layer_params=(32,))
