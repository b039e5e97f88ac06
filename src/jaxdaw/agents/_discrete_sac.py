"""Soft actor-critic for one discrete action."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdaw import specs
from jaxdaw.agents._checks import check_range
from jaxdaw.agents._sac import Draw, SacAgent
from jaxdaw.errors import SpecError
from jaxdaw.math import index_with_actions
from jaxdaw.networks import Network, Weights
from jaxdaw.policies import (
    ActorPolicy,
    Splitter,
    check_input_of,
    check_scalar_action,
    check_values_of,
    split_observation,
)
from jaxdaw.trajectories import TimeStep


class DiscreteSacAgent(SacAgent):
    """This is SacAgent with: one integer action, and expectations over it that are sums instead of draws.

    With `p` the actor's probabilities of the allowed actions and `H` their entropy, the value of a state is
    `sum_a p(a) min_j Q_j(s, a) + alpha H`, in the target and in the actor's loss; the loss of the temperature is
    `k (H - target_entropy)`.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: one scalar integer action in `0..n-1`.
      critic_network: `network(observation, step_type) -> (values [B, n], state)`, such as `QNetwork`.
      actor_network: `network(observation, step_type, state) -> (a Categorical, state)`, such as
        `ActorDistributionNetwork`.
      actor_optimizer, critic_optimizer, alpha_optimizer: as for `SacAgent`.
      observation_and_action_constraint_splitter: `observation -> (network_observation, mask)`, or None. The mask holds
        for acting, for both expectations, and for the default target entropy.
      target_entropy_ratio: in `[0, 1]`, the default target entropy as a share of the largest, which is the logarithm of
        how many actions are allowed in the state. A `target_entropy` takes its place.
      options: further arguments of `SacAgent`, by name.

    Raises:
      ValueError: not one scalar integer action from 0, or as `SacAgent`.

    Source: Christodoulou 2019, "Soft actor-critic for discrete action settings".
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        critic_network: Network,
        actor_network: Network,
        actor_optimizer: optax.GradientTransformation,
        critic_optimizer: optax.GradientTransformation,
        alpha_optimizer: optax.GradientTransformation | None,
        observation_and_action_constraint_splitter: Splitter | None = None,
        target_entropy_ratio: float = 0.98,
        **options: Any,
    ):
        check_range("target_entropy_ratio", target_entropy_ratio, 0.0, 1.0)
        self._target_entropy_ratio = float(target_entropy_ratio)
        splitter = observation_and_action_constraint_splitter
        if splitter is not None:
            options["actor_policy_ctor"] = functools.partial(
                options.get("actor_policy_ctor", ActorPolicy), observation_and_action_constraint_splitter=splitter
            )
        super().__init__(
            time_step_spec,
            action_spec,
            critic_network,
            actor_network,
            actor_optimizer,
            critic_optimizer,
            alpha_optimizer,
            **options,
        )
        (output,) = specs.flatten(actor_network.create_variables())
        if not hasattr(type(output), "probs"):
            raise SpecError(
                f"{self.name} needs the probability of every action",
                expected="an actor_network that returns a Categorical",
                got=type(output).__name__,
                fix="ActorDistributionNetwork(observation_spec, action_spec)",
            )

    def _check_actions(self, action_spec: Any) -> None:
        check_scalar_action(action_spec, type(self).__name__)

    def _check_critic(self, label: str, critic: Network, observation_spec: Any, action_spec: Any) -> None:
        check_input_of(critic, observation_spec)
        check_values_of(critic, action_spec)

    def _entropy_target(self, step: TimeStep) -> Any:
        if self._target_entropy is not None:
            return self._target_entropy
        _, mask = split_observation(self._splitter, step.observation)
        if mask is None:
            return self._target_entropy_ratio * np.log(int(specs.num_values(specs.flatten(self._action_spec)[0])))
        return self._target_entropy_ratio * jnp.log(jnp.maximum(jnp.sum(jnp.asarray(mask) != 0, axis=-1), 1))

    def _values(self, label: str, weights: Weights, step: TimeStep, training: bool) -> tuple[jax.Array, Any]:
        observation = split_observation(self._splitter, step.observation)[0]
        values, _, rest = self._critics[label].apply(weights, observation, step.step_type, training=training)
        return values, rest

    def _chosen(self, label: str, weights: Weights, step: TimeStep, action: Any, training: bool) -> tuple[Any, Any]:
        values, rest = self._values(label, weights, step, training)
        return index_with_actions(values, specs.flatten(action)[0]), rest

    def _expected(
        self, actor: Weights, critics: tuple[Weights, ...], step: TimeStep, draw: Draw, training: bool = False
    ) -> tuple[jax.Array, Any, Any]:
        del draw
        nest, rest = self._distribution(actor, step, training)
        (distribution,) = specs.flatten(nest)
        values = [self._values(n, w, step, False)[0] for n, w in zip(self._critics, critics, strict=bool(critics))]
        value = jnp.sum(distribution.probs * jnp.minimum(*values), axis=-1) if values else None
        if value is not None:  # a state without a valid action refuses the step, unless nothing is learned from it
            value = jnp.where(distribution.is_valid, value, jnp.nan)
        return -distribution.entropy(), value, rest
