"""Every policy through one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jaxdaw import networks, specs, testing, trajectories
from jaxdaw.policies import (
    BoltzmannPolicy,
    EpsilonGreedyPolicy,
    GaussianPolicy,
    GreedyPolicy,
    OUNoisePolicy,
    Policy,
    QPolicy,
    RandomPolicy,
)

OBSERVATION = specs.BoundedTensorSpec((3,), np.float32, -2.0, 2.0, "observation")
STEP = trajectories.time_step_spec(OBSERVATION)
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 3, "action")
ACTIONS = {
    "gear": specs.BoundedTensorSpec((), np.int32, -1, 3),
    "wheel": (specs.BoundedTensorSpec((2,), np.float32, [-1, 0], [1, 5]),),
}
FLOATS = {"wheel": ACTIONS["wheel"], "gas": specs.BoundedTensorSpec((), np.float32, 0, 1)}


def q_policy(**options: Any) -> QPolicy:
    return QPolicy(STEP, ACTION, networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,)), **options)


def recurrent() -> QPolicy:
    return QPolicy(STEP, ACTION, networks.QRnnNetwork(OBSERVATION, ACTION, lstm_size=(4,)), emit_log_probability=True)


POLICIES: dict[str, Callable[[], Policy]] = {
    "q": lambda: q_policy(emit_log_probability=True),
    "q recurrent": recurrent,
    "greedy": lambda: GreedyPolicy(q_policy()),
    "greedy recurrent": lambda: GreedyPolicy(recurrent()),
    "epsilon greedy": lambda: EpsilonGreedyPolicy(q_policy(emit_log_probability=True), 0.3),
    "epsilon greedy, scheduled": lambda: EpsilonGreedyPolicy(q_policy(), lambda step: 0.5),
    "epsilon greedy recurrent": lambda: EpsilonGreedyPolicy(recurrent(), 0.3),
    "boltzmann": lambda: BoltzmannPolicy(q_policy(emit_log_probability=True), 0.5),
    "random": lambda: RandomPolicy(STEP, ACTION, emit_log_probability=True),
    "gaussian noise": lambda: GaussianPolicy(RandomPolicy(STEP, FLOATS), 0.1),
    "drifting noise": lambda: OUNoisePolicy(RandomPolicy(STEP, FLOATS), 0.1, 0.15),
    "random over a nest": lambda: RandomPolicy(STEP, ACTIONS, emit_log_probability=True),
}


@pytest.mark.parametrize("check", testing.POLICY_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", POLICIES)
def test_policy_conforms(name: str, check: Callable[[Any], None]):
    check(POLICIES[name])
