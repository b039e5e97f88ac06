"""Base class of DDPG and TD3: a deterministic actor that climbs what critics have learned of its actions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdaw import specs
from jaxdaw.agents._agent import Agent
from jaxdaw.agents._checks import check_range
from jaxdaw.agents._critics import check_bounded_floats, check_critic, mean_of_real
from jaxdaw.agents._state import AgentState, BatchLoss
from jaxdaw.agents._target_networks import check_apart, check_bootstrapping, own_target, updated_target
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.math import element_wise_huber_loss
from jaxdaw.networks import Network, Weights
from jaxdaw.policies import ActorPolicy, Policy, is_distribution
from jaxdaw.trajectories import (
    LossInfo,
    StepType,
    TimeStep,
    Trajectory,
    Transition,
    to_n_step_transition,
    to_transition,
)

ElementWiseLoss = Callable[[jax.Array, jax.Array], jax.Array]


class ActorCriticMemory(NamedTuple):
    """State of DDPG and TD3 beside the trained networks, in `AgentState.memory`.

    Attributes:
      targets: the target networks' weights, by the name of the trained network.
    """

    targets: dict[str, Weights]


class DeterministicActorCriticAgent(Agent):
    """Learns the values of actions with critics, and an actor whose actions have the highest value.

    A train step moves the critics towards `reward + gamma discount min Q'(s', mu'(s'))`, where primes mark target
    networks; then the actor along the gradient of the first critic's value of its own actions; then the targets.

    Args:
      time_step_spec, action_spec: as for `Agent`.
      actor_network: `network(observation, step_type, state) -> (actions, state)`, in the nest of the actions.
      critics: by name; `network((observation, action), step_type, state) -> (values, state)`.
      targets: of the actor and the critics, by the name of the trained network; None copies it.
      actor_optimizer, critic_optimizer: optax transformations. None makes an agent that cannot train.
      explore: from the actor's unclipped policy to the collect policy.
      actor_update_period: train steps between two steps of the actor; the first train step is one.
      target_update_tau, target_update_period, td_errors_loss_fn, gamma, reward_scale_factor: as for `DqnAgent`.
      options: as for `Agent`.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        actor_network: Network,
        critics: dict[str, Network],
        targets: dict[str, Network | None],
        actor_optimizer: optax.GradientTransformation | None,
        critic_optimizer: optax.GradientTransformation | None,
        *,
        explore: Callable[[Policy], Policy],
        actor_update_period: int,
        target_update_tau: float,
        target_update_period: int,
        td_errors_loss_fn: ElementWiseLoss | None,
        gamma: float,
        reward_scale_factor: float,
        **options: Any,
    ):
        check_bootstrapping(gamma, target_update_tau, target_update_period)
        check_range("actor_update_period", actor_update_period, 1, math.inf, integer=True)
        check_range("reward_scale_factor", reward_scale_factor, -math.inf, math.inf, low_open=True)
        check_bounded_floats(action_spec, type(self).__name__)
        unclipped = ActorPolicy(time_step_spec, action_spec, actor_network, clip=False)
        _check_deterministic(actor_network)
        for name, critic in critics.items():
            check_critic(name, critic, time_step_spec.observation, action_spec)
        self._actor_network = actor_network
        self._critics = critics
        self._recurrent = any(network.state_spec != () for network in (actor_network, *critics.values()))
        trained = {"actor_network": actor_network, **critics}
        self._targets = {name: own_target(name, network, targets[name]) for name, network in trained.items()}
        check_apart({**trained, **{f"target_{name}": target for name, target in self._targets.items()}})
        self._actor_update_period = int(actor_update_period)
        self._tau = float(target_update_tau)
        self._period = int(target_update_period)
        self._td_errors_loss_fn = element_wise_huber_loss if td_errors_loss_fn is None else td_errors_loss_fn
        self._gamma = float(gamma)
        self._reward_scale_factor = float(reward_scale_factor)
        super().__init__(
            time_step_spec,
            action_spec,
            policy=ActorPolicy(time_step_spec, action_spec, actor_network),
            collect_policy=explore(unclipped),
            networks=trained,
            optimizers={
                "critic_optimizer": (_or_refusal("critic_optimizer", critic_optimizer), tuple(critics)),
                "actor_optimizer": (_or_refusal("actor_optimizer", actor_optimizer), ("actor_network",)),
            },
            train_sequence_length=None if self._recurrent else 2,
            **options,
        )

    # What DDPG and TD3 write; pure.

    def _target_action(self, action: Any, key: jax.Array) -> Any:
        """Returns the action whose value is bootstrapped from, given the target actor's; by default the same."""
        del key
        return action

    def _action_values(self, values_of: Callable[[Any], jax.Array], action: Any, is_real: jax.Array) -> jax.Array:
        """Returns the values of the actor's own actions; the actor follows their gradient.

        Args:
          values_of: from actions to their values, `[B]` or `[B, T]`.
          action: the actor's.
          is_real: of the same shape, False for boundary frames.
        """
        del is_real
        return values_of(action)

    def _loss_record(self, actor_loss: Any, critic_loss: Any, td_error: Any) -> Any:
        """Returns the algorithm's record of its two losses, each `[]`, and of the errors, `[B]` or `[B, T-1]`."""
        raise NotImplementedError(f"{type(self).__name__} must define _loss_record")

    # The algorithm; pure.

    def learn(self, state: AgentState, experience: Any, weights: Any, key: jax.Array) -> tuple[AgentState, LossInfo]:
        """Returns the state after a step of the critics, one of the actor where it is due, and of the targets; pure."""
        step = self._as_transition(experience)
        critic_loss = self._critic_loss(state, step, key, True)
        state, critic = self.minimise(state, "critic_optimizer", critic_loss, weights)
        state, actor_loss = self._improve_actor(state, self._actor_loss(state, step, True), weights)
        info = LossInfo(critic.loss + actor_loss, self._loss_record(actor_loss, critic.loss, critic.extra))
        return state._replace(memory=self._updated_memory(state)), info

    def loss_info(self, state: AgentState, experience: Any, weights: Any = None, training: bool = False) -> LossInfo:
        """Returns the sum of both losses; pure.

        Args:
          state, experience, weights: as for `update`.
          training: True gives the losses that `train` reports, the actor's by the critics after their step; False gives
            both at the present weights.
        """
        if training:
            return self.learn(state, experience, weights, state.step_key)[1]
        step = self._as_transition(experience)
        critics = {name: state.params[name] for name in self._critics}
        actor = {"actor_network": state.params["actor_network"]}
        critic_batch = self._critic_loss(state, step, state.step_key, False)(critics)
        critic_loss = self.weighted_loss(critics, critic_batch, weights)
        actor_loss = self.weighted_loss(actor, self._actor_loss(state, step, False)(actor), weights)
        return LossInfo(critic_loss + actor_loss, self._loss_record(actor_loss, critic_loss, critic_batch.extra))

    def _critic_loss(
        self, state: AgentState, step: Transition, key: jax.Array, training: bool
    ) -> Callable[[Any], BatchLoss]:
        now, following = step.time_step, step.next_time_step
        targets = state.memory.targets
        action, *_ = self._targets["actor_network"].apply(
            targets["actor_network"], following.observation, following.step_type
        )
        pair = following.observation, self._target_action(action, key)
        next_values = [self._targets[n].apply(targets[n], pair, following.step_type)[0] for n in self._critics]
        next_value = next_values[0]
        for other in next_values[1:]:
            next_value = jnp.minimum(next_value, other)
        bootstrap = self._gamma * following.discount
        target = self._reward_scale_factor * following.reward
        target += jnp.where(bootstrap == 0.0, 0.0, bootstrap * next_value)
        is_real = now.step_type != StepType.LAST

        def loss(params: Any) -> BatchLoss:
            td_loss, td_error, rest, debug = jnp.zeros_like(target), jnp.zeros_like(target), {}, {}
            for name, critic in self._critics.items():
                own = self.weights_of(state, name, params)
                given = now.observation, step.action_step.action
                values, _, rest[name] = critic.apply(own, given, now.step_type, training=training)
                wanted = jax.lax.stop_gradient(jnp.where(is_real, target, values))
                td_loss += jnp.where(is_real, self._td_errors_loss_fn(wanted, values), 0.0)
                td_error += jnp.abs(wanted - values) / len(self._critics)
                debug |= {f"{name}/td_error": wanted - values, f"{name}/values": values}
            debug |= {"loss/td_loss": td_loss, "loss/next_values": next_value}
            return mean_of_real(td_loss, is_real, jax.lax.stop_gradient(td_error), rest, debug)

        return loss

    def _actor_loss(self, state: AgentState, step: Transition, training: bool) -> Callable[[Any], BatchLoss]:
        now = step.time_step
        name, critic = next(iter(self._critics.items()))
        is_real = now.step_type != StepType.LAST

        def values_of(action: Any) -> jax.Array:
            return critic.apply(self.weights_of(state, name), (now.observation, action), now.step_type)[0]

        def loss(params: Any) -> BatchLoss:
            own = self.weights_of(state, "actor_network", params)
            action, _, rest = self._actor_network.apply(own, now.observation, now.step_type, training=training)
            values = self._action_values(values_of, action, is_real)
            debug = {"loss/values_of_own_actions": values}
            for path, leaf in specs.flatten_with_path(action):
                debug[f"actor/action{path}"] = leaf
            return mean_of_real(-values, is_real, (), {"actor_network": rest}, debug)

        return loss

    def _improve_actor(
        self, state: AgentState, loss_fn: Callable[[Any], BatchLoss], weights: Any
    ) -> tuple[AgentState, jax.Array]:
        """Returns the state after a step of the actor where it is due, and the actor's loss in any case."""

        def parts(state: AgentState) -> Any:
            return state.params["actor_network"], state.rest, state.opt_state["actor_optimizer"], state.summaries

        def improve() -> tuple[Any, jax.Array]:
            stepped, info = self.minimise(state, "actor_optimizer", loss_fn, weights)
            return parts(stepped), info.loss

        def look() -> tuple[Any, jax.Array]:
            params = {"actor_network": state.params["actor_network"]}
            batch = loss_fn(params)
            loss = self.weighted_loss(params, batch, weights)
            still = self.summarised(state, "actor_optimizer", loss, batch, jax.tree.map(jnp.zeros_like, params))
            return parts(still), loss

        if self._actor_update_period == 1:
            (params, rest, opt_state, summaries), loss = improve()
        else:
            is_due = state.train_step % self._actor_update_period == 0
            (params, rest, opt_state, summaries), loss = jax.lax.cond(is_due, improve, look)
        state = state._replace(
            params={**state.params, "actor_network": params},
            rest=rest,
            opt_state={**state.opt_state, "actor_optimizer": opt_state},
            summaries=summaries,
        )
        return state, loss

    def _as_transition(self, experience: Trajectory | Transition) -> Transition:
        if isinstance(experience, Transition):
            return experience
        return to_transition(experience) if self._recurrent else to_n_step_transition(experience, self._gamma)

    # Target networks and weights; pure.

    def _updated_memory(self, state: AgentState) -> ActorCriticMemory:
        return ActorCriticMemory(
            {
                name: updated_target(target, self.weights_of(state, name), self._tau, self._period, state.train_step)
                for name, target in state.memory.targets.items()
            }
        )

    def init_memory(self, weights: dict[str, Weights], fresh: bool) -> ActorCriticMemory:
        """Returns the first weights of the targets: copies of the trained networks', or those they were given with."""
        own = weights if fresh else {name: target.get_weights() for name, target in self._targets.items()}
        return ActorCriticMemory({name: jax.tree.map(jnp.copy, own[name]) for name in self._targets})

    def policy_weights(self, state: AgentState) -> Weights:
        """Returns the actor network's weights in `state`; pure."""
        return self.weights_of(state, "actor_network")

    def shown_weights(self, state: AgentState) -> list[tuple[Network, Weights]]:
        """Returns all networks, target networks too, with their weights in `state`."""
        targets = [(target, state.memory.targets[name]) for name, target in self._targets.items()]
        return [*super().shown_weights(state), *targets]

    @property
    def target_actor_network(self) -> Network:
        """The network whose actions are bootstrapped from."""
        return self._targets["actor_network"]

    @property
    def target_critic_network(self) -> Network:
        """The network that gives the bootstrap values; the first one, where there are two."""
        return self._targets["critic_network"]


def _check_deterministic(actor_network: Network) -> None:
    if any(map(is_distribution, specs.flatten(actor_network.create_variables()))):
        raise SpecError(
            "actor_network returns distributions, and this agent learns one action for each observation",
            expected="actions",
            got=actor_network.name,
            fix="ActorNetwork(observation_spec, action_spec)",
        )


def _or_refusal(label: str, optimizer: optax.GradientTransformation | None) -> Any:
    """Returns the optimizer, or in the place of None one that refuses to step."""
    if optimizer is not None:
        return optimizer

    def init(params: Any) -> Any:
        del params
        return optax.EmptyState()

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        del updates, state, params
        raise ConfigError(
            f"this agent cannot train without {label}",
            expected="an optax transformation",
            got="None",
            fix="optax.adam(1e-3)",
        )

    return optax.GradientTransformation(init, update)
