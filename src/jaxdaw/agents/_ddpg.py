"""DDPG: a deterministic actor that follows the gradient of a critic, with drifting exploration noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdaw import specs
from jaxdaw.agents._checks import check_range
from jaxdaw.agents._deterministic_policy_gradient import DeterministicActorCriticAgent, ElementWiseLoss
from jaxdaw.agents._state import StepCounter
from jaxdaw.networks import Network
from jaxdaw.policies import OUNoisePolicy
from jaxdaw.trajectories import TimeStep


class DdpgInfo(NamedTuple):
    """The parts of DDPG's loss, whose sum is the loss, and per-example values.

    Attributes:
      actor_loss: `[]`, minus the mean value of the actor's own actions, by the critic after its step.
      critic_loss: `[]`, of the critic's temporal-difference errors.
      td_error: `[B]` or `[B, T-1]`, the distance from target to prediction, in units of return; 0 for boundary frames.
        It is the priority of the row.
    """

    actor_loss: Any
    critic_loss: Any
    td_error: Any = ()


class DdpgAgent(DeterministicActorCriticAgent):
    """Learns continuous actions from recorded transitions: the actor climbs the value that a critic gives its actions.

    With primes for target networks, each train step moves the critic towards `r + gamma d Q'(s', mu'(s'))`, and the
    actor along the gradient of `Q(s, mu(s))`.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: a nest of float specs with finite bounds.
      actor_network: `network(observation, step_type, state) -> (actions, state)`, in the nest of the actions.
      critic_network: `network((observation, action), step_type, state) -> (values [B], state)`.
      actor_optimizer, critic_optimizer: optax transformations; None makes an agent that cannot train.
      ou_stddev: at least 0, the deviation of what is added to the exploration noise at each step.
      ou_damping: in `[0, 1]`, how fast the exploration noise decays, see `OUNoisePolicy`.
      target_actor_network: a network for the bootstrapped actions; None copies `actor_network`. Its weights are kept
        until `initialize`.
      target_critic_network: a network for the bootstrap values; None copies `critic_network`.
      target_update_tau: in `[0, 1]`, the share of the online weights at each target update; 1 copies them.
      target_update_period: train steps between target updates, of both.
      dqda_clipping: above 0, each element of the critic's gradient by the action is clipped to this size; None or 0
        for none.
      td_errors_loss_fn: `(target, prediction) -> loss`, element-wise; None is Huber's with delta 1.
      gamma: in `[0, 1]`, the discount of future rewards.
      reward_scale_factor: multiplies the rewards.
      gradient_clipping: each variable's gradient is scaled to at most this norm; None for none.
      debug_summaries: whether to summarise TD errors, losses, values and actions.
      summarize_grads_and_vars: whether to summarise gradients and variables.
      train_step_counter: a StepCounter to share; None makes one of its own.
      name: defaults to the class name.
      scale_noise_to_bounds: whether `ou_stddev` is in units of half the width of each action element's bounds, instead
        of the action's own.
      enable_summaries: False turns both kinds of summaries off.
      summary_interval: train steps between two summaries.
      on_nan: what `train` does about steps refused as not finite: "raise", "skip" or "ignore", see `Agent`.

    Raises:
      ValueError: actions that are not bounded floats, a network of another input or output, a number outside its
        range, or a target network of another structure.

    Warns:
      UserWarning: a target network shares weights with the trained one (it is copied).

    Source: Lillicrap et al. 2016. `docs/differences.md` lists where TF-Agents is not followed.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        actor_network: Network,
        critic_network: Network,
        actor_optimizer: optax.GradientTransformation | None = None,
        critic_optimizer: optax.GradientTransformation | None = None,
        ou_stddev: float = 1.0,
        ou_damping: float = 1.0,
        target_actor_network: Network | None = None,
        target_critic_network: Network | None = None,
        target_update_tau: float = 1.0,
        target_update_period: int = 1,
        dqda_clipping: float | None = None,
        td_errors_loss_fn: ElementWiseLoss | None = None,
        gamma: float = 1.0,
        reward_scale_factor: float = 1.0,
        gradient_clipping: float | None = None,
        debug_summaries: bool = False,
        summarize_grads_and_vars: bool = False,
        train_step_counter: StepCounter | None = None,
        name: str | None = None,
        *,
        scale_noise_to_bounds: bool = False,
        enable_summaries: bool = True,
        summary_interval: int = 100,
        on_nan: str = "raise",
    ):
        check_range("dqda_clipping", dqda_clipping, 0.0, math.inf, optional=True)
        self._dqda_clipping = float(dqda_clipping or 0.0)
        super().__init__(
            time_step_spec,
            action_spec,
            actor_network,
            {"critic_network": critic_network},
            {"actor_network": target_actor_network, "critic_network": target_critic_network},
            actor_optimizer,
            critic_optimizer,
            explore=lambda policy: OUNoisePolicy(policy, ou_stddev, ou_damping, scale_to_bounds=scale_noise_to_bounds),
            actor_update_period=1,
            target_update_tau=target_update_tau,
            target_update_period=target_update_period,
            td_errors_loss_fn=td_errors_loss_fn,
            gamma=gamma,
            reward_scale_factor=reward_scale_factor,
            gradient_clipping=gradient_clipping,
            debug_summaries=debug_summaries,
            summarize_grads_and_vars=summarize_grads_and_vars,
            enable_summaries=enable_summaries,
            summary_interval=summary_interval,
            train_step_counter=train_step_counter,
            on_nan=on_nan,
            name=name,
        )

    def _action_values(self, values_of: Callable[[Any], jax.Array], action: Any, is_real: jax.Array) -> jax.Array:
        """Returns the values of the actor's own actions, whose derivative by each element of an action is clipped."""
        if not self._dqda_clipping:
            return values_of(action)
        fixed = jax.lax.stop_gradient(action)
        values, pullback = jax.vjp(values_of, fixed)
        (dqda,) = pullback(is_real.astype(values.dtype))

        def to_first_order(slope: jax.Array, leaf: jax.Array, at: jax.Array) -> jax.Array:
            slope = jax.lax.stop_gradient(jnp.clip(slope, -self._dqda_clipping, self._dqda_clipping))
            return jnp.sum(slope * (leaf - at), axis=tuple(range(values.ndim, leaf.ndim)))

        changes = specs.flatten(specs.map_structure(to_first_order, dqda, action, fixed))  # 0, with a gradient
        return jax.lax.stop_gradient(values) + sum(changes[1:], changes[0])

    def _loss_record(self, actor_loss: Any, critic_loss: Any, td_error: Any) -> DdpgInfo:
        """Returns the parts of the loss, and the errors."""
        return DdpgInfo(actor_loss=actor_loss, critic_loss=critic_loss, td_error=td_error)
