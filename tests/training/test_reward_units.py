"""Units in which rewards are learned, and predictions that come back from them."""

import jax
import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.training import BanditConfig
from jaxdaw.training._reward_units import RewardUnits, with_constant_arms
from jaxdaw.trajectories import time_step_spec

CONTEXT = specs.TensorSpec((3,), np.float32)
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 3)
SEEN = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def test_units_are_the_mean_and_the_deviation():
    units = RewardUnits.standard(np.array([1.0, 3.0, 5.0]))
    np.testing.assert_allclose(units, (3.0, np.sqrt(8 / 3)))
    np.testing.assert_allclose(units.learned(np.array([1.0, 3.0, 5.0])), [-np.sqrt(1.5), 0.0, np.sqrt(1.5)], rtol=1e-6)
    assert RewardUnits.standard(np.full(9, 0.1)) == (0.1, 1.0)  # whose mean and deviation are rounded
    assert RewardUnits.standard(np.zeros(2)) == (0.0, 1.0)


@pytest.mark.parametrize("exploration", ["greedy", "ensemble", "linucb"])
def test_predictions_come_back_from_their_units_and_go_there_again(exploration):
    options = {"num_members": 2} if exploration == "ensemble" else {}
    agent = BanditConfig(exploration=exploration, fc_layer_params=(4,), **options).make_agent(
        time_step_spec(CONTEXT), ACTION
    )
    network = agent.reward_network

    def predictions(state):
        agent.set_state(jax.tree.map(np.array, state))
        return np.asarray(agent.policy.greedy().distribution(SEEN).action.logits)

    start = jax.tree.map(np.array, agent.get_state())
    before, units = predictions(start), RewardUnits(100.0, 8.0)
    restored = units.restored(network, start)
    np.testing.assert_allclose(predictions(restored), 8.0 * before + 100.0, rtol=1e-4)
    np.testing.assert_allclose(predictions(units.inverse().restored(network, restored)), before, atol=1e-4)
    fixed = predictions(with_constant_arms(network, start, np.array([False, True, False, True]), -7.0))
    np.testing.assert_allclose(fixed[:, [1, 3]], -7.0, rtol=1e-4)
    np.testing.assert_allclose(fixed[:, [0, 2]], before[:, [0, 2]], rtol=1e-5)
