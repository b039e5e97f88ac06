"""In which units a reward model learns: rewards are shifted and divided, and predictions brought back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.agents import AgentState
from jaxdaw.networks import EnsembleNetwork, LinearRewardNetwork, Network


class RewardUnits(NamedTuple):
    """A model learns `(reward - offset) / scale`.

    Attributes:
      offset, scale: in units of reward; `scale` is above 0. Numbers, or `[]`.
    """

    offset: Any = 0.0
    scale: Any = 1.0

    @classmethod
    def standard(cls, rewards: np.ndarray) -> RewardUnits:
        """Returns the mean and the deviation of rewards `[N]`; where all are one number, a scale of 1."""
        values = np.asarray(rewards, np.float64)
        if values.min() == values.max():
            return cls(float(values[0]), 1.0)
        return cls(float(np.mean(values)), float(np.std(values)))

    def learned(self, rewards: np.ndarray) -> np.ndarray:
        """Returns rewards as a model learns them, float32."""
        return ((np.asarray(rewards, np.float64) - self.offset) / self.scale).astype(np.float32)

    def restored(self, network: Network, state: AgentState) -> AgentState:
        """Returns the state with predictions in units of reward; pure.

        Args:
          network: a QNetwork without activation after its last layer, an EnsembleNetwork of such, or a
            LinearRewardNetwork whose last feature is always 1.
          state: of an agent that learned in these units.
        """
        scale, offset = self.scale, self.offset

        def restored(head: Any) -> Any:
            scaled = jax.tree.map(lambda leaf: leaf * scale, head)
            return {**scaled, "bias": scaled["bias"] + offset}

        def restored_posterior(params: Any) -> Any:  # root @ coefficients = response
            return {**params, "response": params["response"] * scale + params["root"][:, :, -1] * offset}

        return _with_outputs(network, state, restored, restored_posterior)

    def inverse(self) -> RewardUnits:
        """Returns the units that lead back: `restored` in them undoes `restored` in these."""
        return RewardUnits(-self.offset / self.scale, 1.0 / self.scale)


def with_constant_arms(network: Network, state: AgentState, arms: np.ndarray, output: float) -> AgentState:
    """Returns the state with one prediction for some arms, whatever the context; pure.

    Args:
      network, state: as for `RewardUnits.restored`; the last layer may have an activation.
      arms: bool `[A]`, which ones.
      output: what the last layer gives them, before its activation.
    """

    def constant(head: Any) -> Any:
        return {"kernel": jnp.where(arms, 0.0, head["kernel"]), "bias": jnp.where(arms, output, head["bias"])}

    def constant_posterior(params: Any) -> Any:
        response = jnp.where(arms[:, None], params["root"][:, :, -1] * output, params["response"])
        return {**params, "response": response}

    return _with_outputs(network, state, constant, constant_posterior)


def _with_outputs(
    network: Network, state: AgentState, head: Callable[[Any], Any], posterior: Callable[[Any], Any]
) -> AgentState:
    """Returns the state after a change of the last layers, or of a posterior."""

    def changed(params: Any) -> Any:
        return {**params, "q": head(params["q"])}

    params = state.params["reward_network"]
    if isinstance(network, EnsembleNetwork):
        params = network.map_members(params, changed)
    else:
        params = (posterior if isinstance(network, LinearRewardNetwork) else changed)(params)
    return state._replace(params={**state.params, "reward_network": params})
