"""Categorical DQN (C51)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdaw.agents._dqn import DqnAgent, ElementWiseLoss, TemporalDifference, best_action, entries_of
from jaxdaw.agents._state import StepCounter
from jaxdaw.errors import ConfigError
from jaxdaw.math import project_distribution
from jaxdaw.networks import Network
from jaxdaw.policies import CategoricalQPolicy, Splitter, mean_of_atoms
from jaxdaw.trajectories import TimeStep


class CategoricalDqnAgent(DqnAgent):
    """This is DQN with: a distribution of the return over fixed atoms, learned by cross-entropy.

    `extra.td_error` is the divergence of the prediction from its target, in nats: it is what the loss can still lower,
    and by its magnitude a prioritized replay draws.

    Args:
      time_step_spec, action_spec, optimizer, observation_and_action_constraint_splitter, n_step_update,
        target_update_tau, target_update_period, gamma, reward_scale_factor, gradient_clipping, debug_summaries,
        summarize_grads_and_vars, train_step_counter, name, emit_log_probability, enable_summaries, summary_interval,
        on_nan: as for `DqnAgent`.
      categorical_q_network: `network(observation, step_type) -> (logits [B, A, K], state)`.
      min_q_value, max_q_value: the returns that the first and the last atom stand for, after `reward_scale_factor`;
        returns outside count as these.
      epsilon_greedy: as for `DqnAgent`; None with a temperature.
      boltzmann_temperature: above 0, in units of return: collect by the softmax of the mean returns; needs
        `epsilon_greedy=None`.
      target_categorical_q_network: a network for the targets; None copies `categorical_q_network`.
      td_errors_loss_fn: must be None: the loss is the cross-entropy.
      double: whether the online network chooses the next action, as in double DQN.

    Raises:
      ValueError: as `DqnAgent`; not `min_q_value < max_q_value`, or fewer than two atoms.
      TypeError: a network with one value for each action.

    Source: Bellemare, Dabney & Munos 2017, algorithm 1; priorities and double: Hessel et al. 2018.
    """

    _network_argument = "categorical_q_network"

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        categorical_q_network: Network,
        optimizer: optax.GradientTransformation,
        observation_and_action_constraint_splitter: Splitter | None = None,
        min_q_value: float = -10.0,
        max_q_value: float = 10.0,
        epsilon_greedy: Any = 0.1,
        n_step_update: int = 1,
        boltzmann_temperature: Any = None,
        target_categorical_q_network: Network | None = None,
        target_update_tau: float = 1.0,
        target_update_period: int = 1,
        td_errors_loss_fn: ElementWiseLoss | None = None,
        gamma: float = 1.0,
        reward_scale_factor: float = 1.0,
        gradient_clipping: float | None = None,
        debug_summaries: bool = False,
        summarize_grads_and_vars: bool = False,
        train_step_counter: StepCounter | None = None,
        name: str | None = None,
        *,
        double: bool = False,
        emit_log_probability: bool = False,
        enable_summaries: bool = True,
        summary_interval: int = 100,
        on_nan: str = "raise",
    ):
        if td_errors_loss_fn is not None:
            raise ConfigError(
                "td_errors_loss_fn has no effect: the loss of categorical DQN is the cross-entropy",
                expected="td_errors_loss_fn=None",
                got=repr(td_errors_loss_fn),
            )
        self._range = min_q_value, max_q_value
        self._double = double
        super().__init__(
            time_step_spec,
            action_spec,
            categorical_q_network,
            optimizer,
            observation_and_action_constraint_splitter,
            epsilon_greedy,
            n_step_update,
            boltzmann_temperature,
            emit_log_probability,
            target_categorical_q_network,
            target_update_tau,
            target_update_period,
            None,
            gamma,
            reward_scale_factor,
            gradient_clipping,
            debug_summaries,
            summarize_grads_and_vars,
            train_step_counter,
            name,
            enable_summaries=enable_summaries,
            summary_interval=summary_interval,
            on_nan=on_nan,
        )

    def make_q_policy(
        self, time_step_spec: TimeStep, action_spec: Any, q_network: Network, **options: Any
    ) -> CategoricalQPolicy:
        """Returns the policy whose values are means over the atoms."""
        policy = CategoricalQPolicy(time_step_spec, action_spec, q_network, *self._range, **options)
        self._support = policy.support
        return policy

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
        """Returns the cross-entropy of predicted and projected distributions; pure. Arguments as `DqnAgent`'s."""
        logits = entries_of(output, action)
        next_logits = entries_of(next_output, best_action(mean_of_atoms(chooser, self._support), next_mask))
        next_logits = jnp.where(bootstrap[..., None] == 0.0, 0.0, next_logits)  # any distribution: its atoms coincide
        returns = reward[..., None] + bootstrap[..., None] * self._support
        target = project_distribution(returns, jax.nn.softmax(next_logits), self._support)
        target = jax.lax.stop_gradient(target)
        loss = -jnp.sum(target * jax.nn.log_softmax(logits), axis=-1)
        return TemporalDifference(
            loss=loss,
            error=loss - jnp.sum(jax.scipy.special.entr(target), axis=-1),
            q_values=mean_of_atoms(logits, self._support),
            next_q_values=mean_of_atoms(next_logits, self._support),
        )
