"""The suite for policies finds each fault, each with the one check that is made for it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import networks
from jaxdaw.policies import EpsilonGreedyPolicy, GreedyRewardPredictionPolicy, QPolicy
from jaxdaw.testing import POLICY_CHECKS
from jaxdaw.trajectories import PolicyStep

from .mutants import ACTION, OBSERVATION, STEP, found_by, q_network


class Sound(QPolicy):
    def __init__(self, network: networks.Network | None = None):
        network = q_network() if network is None else network
        super().__init__(STEP, ACTION, network, emit_log_probability=True)


class ConstantKey(Sound):
    def _act_from_seed(self, weights: Any, time_step: Any, policy_state: Any, seed: Any) -> PolicyStep:
        return super()._act_from_seed(weights, time_step, policy_state, jnp.zeros_like(seed))


class OneCoinForAllRows(Sound):
    def _sample(self, distribution: Any, randomness: Any) -> Any:
        return super()._sample(distribution, jnp.full_like(randomness, randomness[0]))


class BranchLogProbability(EpsilonGreedyPolicy):
    """Reports the greedy branch's log-probability, as if it had not explored."""

    def __init__(self):
        super().__init__(Sound(), 0.4)

    def act(self, weights: Any, time_step: Any, policy_state: Any, randomness: Any) -> PolicyStep:
        step = super().act(weights, time_step, policy_state, randomness)
        return step._replace(info=jax.tree.map(lambda p: jnp.zeros_like(p), step.info))


class ReportsAnotherAction(EpsilonGreedyPolicy):
    """Reports what holds for the first action, whichever was taken."""

    def __init__(self):
        emitted = ("log_probability", "bandit_policy_type")
        super().__init__(GreedyRewardPredictionPolicy(STEP, ACTION, q_network(), emit_policy_info=emitted), 0.4)

    def _report(self, time_step: Any, choice: PolicyStep, action: Any) -> Any:
        return super()._report(time_step, choice, jnp.zeros_like(action))


class KeepsItsMemory(Sound):
    def __init__(self):
        super().__init__(networks.QRnnNetwork(OBSERVATION, ACTION, lstm_size=(4,)))

    def distribute(self, weights: Any, time_step: Any, policy_state: Any) -> PolicyStep:
        return self._distribution(
            weights, time_step._replace(step_type=jnp.ones_like(time_step.step_type)), policy_state
        )


class DrawsAnotherDistribution(Sound):
    def _sample(self, distribution: Any, randomness: Any) -> Any:
        return super()._sample(type(distribution)(distribution.logits + jnp.array([2.0, 0.0, 0.0])), randomness)


class EmitsFloats(Sound):
    def _hand_back(self, leaves: list[Any], batched: bool, on_host: bool) -> PolicyStep:
        step = super()._hand_back(leaves, batched, on_host)
        return step._replace(action=np.asarray(step.action, np.float32))


@pytest.mark.parametrize(
    ("make", "checks"),
    [
        (Sound, []),
        (ConstantKey, ["seed_decides"]),
        (BranchLogProbability, ["log_probability_is_that_of_the_distribution"]),
        (ReportsAnotherAction, ["information_is_about_the_action_taken"]),
        (KeepsItsMemory, ["memory_starts_anew_with_the_episode"]),
        (DrawsAnotherDistribution, ["actions_come_from_the_distribution"]),
    ],
)
def test_each_fault_is_found_by_its_check(make: Any, checks: list[str]):
    assert found_by(POLICY_CHECKS, make) == checks


def test_one_coin_for_all_rows_is_found():
    found = found_by(POLICY_CHECKS, OneCoinForAllRows)  # of others too: frequencies, and at times a seed's
    assert {"rows_draw_for_themselves", "actions_come_from_the_distribution"} <= set(found)


def test_an_action_of_another_dtype_is_found():
    assert "emits_what_its_specs_promise" in found_by(POLICY_CHECKS[:1], EmitsFloats)
