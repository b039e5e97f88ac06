"""Which arguments of SacAgent raise which exception, row by row; where docs/differences.md says so, ours."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxdaw import networks, specs
from jaxdaw.agents import SacAgent
from jaxdaw.errors import ConfigError

from . import cases
from .test_errors_golden import OBSERVATION, STEP, compare, frames, integer

STEER = specs.BoundedTensorSpec((2,), np.float32, -1.0, 1.0, "action")


class Certain(networks.Network):
    """A user's actor that emits actions."""

    def __init__(self, *, rngs: Any = 0):
        super().__init__(OBSERVATION)
        self.value = nnx.Param(jnp.zeros(2))

    def call(self, observation: Any) -> Any:
        return jnp.broadcast_to(self.value[...], (*observation.shape[:-1], 2)), ()


def actor(action: Any = STEER) -> networks.Network:
    return networks.ActorDistributionNetwork(OBSERVATION, action, fc_layer_params=(4,))


def critic(action: Any = STEER) -> networks.Network:
    return networks.CriticNetwork((OBSERVATION, action), joint_fc_layer_params=(4,))


def agent(action: Any = STEER, **changes: Any) -> SacAgent:
    given = {"critic_network": critic(), "actor_network": actor(), "critic_optimizer": optax.sgd(0.1), **changes}
    return SacAgent(STEP, action, actor_optimizer=optax.sgd(0.1), alpha_optimizer=optax.sgd(0.1), **given)


def steered(steps: int = 2, **changes: Any) -> Any:
    return frames(steps)._replace(action=np.zeros((4, steps, 2), np.float32), **changes)


def shares_weights() -> None:
    network = critic()
    with pytest.warns(UserWarning, match="shares weights"):
        agent(critic_network=network, target_critic_network=network)


def nan_reward() -> None:
    bad = np.ones((4, 2), np.float32)
    bad[1, 0] = np.nan
    agent().train(steered(reward=bad))


TWO = {"a": STEER, "b": STEER}
ATTEMPTS = {
    "integer_action": lambda: agent(integer()),
    "no_actor": lambda: agent(actor_network=None),
    "deterministic_actor": lambda: agent(actor_network=Certain()),
    "deterministic_actor_train": lambda: agent(actor_network=Certain()).train(steered()),
    "three_frames": lambda: agent().train(steered(3)),
    "nan_reward": nan_reward,
    "weights_of_batch": lambda: agent().train(steered(), np.ones(4, np.float32)),
    "target_shares_weights": shares_weights,
    "nested_action": lambda: agent(TWO, actor_network=actor(TWO), critic_network=critic(TWO)),
    "optimizer_none": lambda: agent(critic_optimizer=None).train(steered()),
}
OURS = {
    "target_shares_weights": None,  # documented: a warning, no exception
    "optimizer_none": ConfigError,  # from the constructor, which knows
}


@pytest.mark.parametrize("row", cases.rows("errors", "sacagent"), ids=lambda row: row["id"])
def test_row(row: dict[str, Any]):
    compare(row, ATTEMPTS[row["id"]], OURS)


def test_every_row_is_visited():
    assert {row["id"] for row in cases.rows("errors", "sacagent")} == set(ATTEMPTS)
