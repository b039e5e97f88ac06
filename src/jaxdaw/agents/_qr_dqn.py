"""Quantile regression DQN (QR-DQN)."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdaw.agents._checks import check_range
from jaxdaw.agents._dqn import DqnAgent, TemporalDifference, best_action, entries_of
from jaxdaw.math import quantile_huber_loss
from jaxdaw.networks import Network
from jaxdaw.policies import QuantileQPolicy
from jaxdaw.trajectories import TimeStep


class QrDqnAgent(DqnAgent):
    """This is DQN with: quantiles of the return, learned by quantile regression.

    `extra.td_error` is the mean of the target quantiles minus the mean of the predicted ones.

    Args:
      time_step_spec, action_spec, optimizer, options: as for `DqnAgent`, but for `q_network`, `target_q_network` and
        `td_errors_loss_fn`.
      quantile_q_network: `network(observation, step_type) -> (quantiles [B, A, K], state)`.
      target_quantile_q_network: a network for the targets; None copies `quantile_q_network`.
      huber_delta: above 0, in units of return after `reward_scale_factor`: where the loss turns from quadratic to
        linear.
      double: whether the online network chooses the next action, as in double DQN.

    Raises:
      ValueError: as `DqnAgent`.
      TypeError: a network with one value for each action.

    Source: Dabney et al. 2018, algorithm 1.
    """

    _network_argument = "quantile_q_network"

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        quantile_q_network: Network,
        optimizer: optax.GradientTransformation,
        *,
        target_quantile_q_network: Network | None = None,
        huber_delta: float = 1.0,
        double: bool = False,
        **options: Any,
    ):
        check_range("huber_delta", huber_delta, 0.0, math.inf, low_open=True)
        self._huber_delta = float(huber_delta)
        self._double = double
        super().__init__(
            time_step_spec,
            action_spec,
            quantile_q_network,
            optimizer,
            target_q_network=target_quantile_q_network,
            td_errors_loss_fn=None,
            **options,
        )

    def make_q_policy(
        self, time_step_spec: TimeStep, action_spec: Any, q_network: Network, **options: Any
    ) -> QuantileQPolicy:
        """Returns the policy whose values are means over the quantiles."""
        return QuantileQPolicy(time_step_spec, action_spec, q_network, **options)

    def temporal_difference(
        self,
        output: Any,
        action: jax.Array,
        reward: jax.Array,
        bootstrap: jax.Array,
        next_output: Any,
        chooser: Any,
        next_mask: Any,
    ) -> TemporalDifference:
        """Returns the quantile Huber loss of predicted and target quantiles; pure. Arguments as `DqnAgent`'s."""
        quantiles = entries_of(output, action)
        next_quantiles = entries_of(next_output, best_action(jnp.mean(chooser, axis=-1), next_mask))
        following = jnp.where(bootstrap[..., None] == 0.0, 0.0, bootstrap[..., None] * next_quantiles)
        target = jax.lax.stop_gradient(reward[..., None] + following)
        q_values = jnp.mean(quantiles, axis=-1)
        return TemporalDifference(
            loss=quantile_huber_loss(target, quantiles, self._huber_delta),
            error=jnp.mean(target, axis=-1) - q_values,
            q_values=q_values,
            next_q_values=jnp.mean(next_quantiles, axis=-1),
        )
