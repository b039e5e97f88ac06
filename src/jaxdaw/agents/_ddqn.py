"""Double DQN."""

from __future__ import annotations

from typing import Any

import jax

from jaxdaw.agents._dqn import DqnAgent
from jaxdaw.networks import Weights


class DdqnAgent(DqnAgent):
    """This is DQN with: the next action chosen by the online network, and valued by the target network.

    Source: van Hasselt, Guez & Silver 2016.
    """

    def _selector(
        self, weights: Weights, target_values: jax.Array, next_observation: Any, next_step_type: Any
    ) -> jax.Array:
        return jax.lax.stop_gradient(self._q_network.apply(weights, next_observation, next_step_type)[0])
