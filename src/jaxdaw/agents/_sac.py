"""Soft actor-critic: twin critics, a stochastic actor, and a temperature that is learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdaw import specs
from jaxdaw.agents._agent import Agent
from jaxdaw.agents._checks import check_range
from jaxdaw.agents._critics import check_bounded_floats, check_critic, mean_of_real
from jaxdaw.agents._state import AgentState, BatchLoss, StepCounter
from jaxdaw.agents._target_networks import check_apart, check_bootstrapping, own_target, updated_target
from jaxdaw.distributions import Joint
from jaxdaw.errors import explain
from jaxdaw.math import element_wise_squared_loss
from jaxdaw.networks import Network, Parameter, Weights, require_network
from jaxdaw.policies import ActorPolicy, GreedyPolicy, Policy, action_distributions, as_declared, split_observation
from jaxdaw.trajectories import LossInfo, StepType, TimeStep, Transition, to_n_step_transition, to_transition

Draw = Callable[[Any], tuple[Any, jax.Array]]
"""From a nest of distributions to an action drawn from it, and its log-probability `[...]`."""


class SacLossInfo(NamedTuple):
    """The parts of SAC's loss, whose sum is the loss, and per-example values.

    Attributes:
      critic_loss, actor_loss, alpha_loss: `[]`, each times its weight; that of the actor is taken with the critics
        after their step, that of the temperature with the actor after its step.
      td_error: `[B]` or `[B, T-1]`, the mean over both critics of the distance from target to prediction, in units of
        return; 0 for boundary frames. It is the priority of the row.
    """

    critic_loss: Any
    actor_loss: Any
    alpha_loss: Any
    td_error: Any


class SacMemory(NamedTuple):
    """State of SAC beside the trained networks, in `AgentState.memory`.

    Attributes:
      target_critic_network, target_critic_network_2: the weights that give the bootstrap values.
    """

    target_critic_network: Weights
    target_critic_network_2: Weights


class SacAgent(Agent):
    """Learns a stochastic policy that is paid for its entropy, from recorded transitions.

    With alpha the temperature, `Q_j` the critics, a bar for their targets, and `a'`, `a~`, `a^` drawn from the actor,
    one train step minimises in this order

    ```text
    critic  sum_j loss(y, Q_j(s, a)),   y = reward_scale r + gamma d (min_j Qbar_j(s', a') - alpha log pi(a' | s'))
    actor   alpha log pi(a~ | s) - min_j Q_j(s, a~)                  with the critics after their step
    alpha   k (-log pi(a^ | s) - target_entropy)                     with the actor after its step; k = log alpha
    ```

    each a mean over the rows that are no boundary between episodes. The temperature in the first two is the one before
    the step.

    `policy` takes the mode of the actor's distribution, `collect_policy` draws from it.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: a nest of float specs with finite bounds.
      critic_network: `network((observation, action), step_type) -> (values [B], state)`, such as `CriticNetwork`.
      actor_network: `network(observation, step_type, state) -> (distributions, state)`, in the nest of the actions.
        Squashed ones (`TanhNormalProjection`) keep within the bounds what is drawn.
      actor_optimizer, critic_optimizer: optax transformations; the latter trains both critics.
      alpha_optimizer: an optax transformation of the temperature's logarithm; None keeps the temperature at
        `exp(initial_log_alpha)`.
      actor_loss_weight, critic_loss_weight, alpha_loss_weight: what the three losses are multiplied by, at least 0.
      actor_policy_ctor: makes the collect policy, as `ActorPolicy` is called:
        `(time_step_spec, action_spec, actor_network=..., training=False)`.
      critic_network_2: the second critic; None makes one like the first, with weights of its own.
      target_critic_network, target_critic_network_2: networks for the bootstrap values; None copies each critic.
        Their weights are kept until `initialize`.
      target_update_tau: in `[0, 1]`, the share of the online weights at each target update; 1 copies them.
      target_update_period: train steps between target updates.
      td_errors_loss_fn: `(target, prediction) -> loss`, element-wise; None is the squared error.
      gamma: in `[0, 1]`, the discount of future rewards.
      reward_scale_factor: multiplies the rewards; the higher, the less the entropy counts.
      initial_log_alpha: the logarithm of the first temperature.
      use_log_alpha_in_alpha_loss: whether `k` is the temperature's logarithm; otherwise it is the temperature.
      target_entropy: in nats, what the temperature steers the policy's entropy to; None is minus the number of action
        elements, as TF-Agents documents (its code takes minus half of it).
      gradient_clipping: each variable's gradient is scaled to at most this norm; None for none.
      debug_summaries: whether to summarise TD errors, values, log-probabilities and the temperature.
      summarize_grads_and_vars: whether to summarise gradients and variables.
      train_step_counter: a StepCounter to share; None makes one of its own.
      name: defaults to the class name.
      enable_summaries: False turns both kinds of summaries off.
      summary_interval: train steps between two summaries.
      on_nan: what `train` does about steps refused as not finite: "raise", "skip" or "ignore", see `Agent`.

    Raises:
      NotImplementedError: an integer action, for which there is `DiscreteSacAgent`.
      ValueError: bounds that are missing, infinite or equal, a network of other inputs or outputs, a number outside its
        range, or a target network of another structure.

    Warns:
      UserWarning: a target network shares weights with its critic (it is copied).

    Source: Haarnoja et al. 2018, "Soft actor-critic algorithms and applications". `docs/differences.md` lists where the
      original is not followed.
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
        actor_loss_weight: float = 1.0,
        critic_loss_weight: float = 0.5,
        alpha_loss_weight: float = 1.0,
        actor_policy_ctor: Callable[..., Policy] = ActorPolicy,
        critic_network_2: Network | None = None,
        target_critic_network: Network | None = None,
        target_critic_network_2: Network | None = None,
        target_update_tau: float = 1.0,
        target_update_period: int = 1,
        td_errors_loss_fn: Callable[[jax.Array, jax.Array], jax.Array] | None = element_wise_squared_loss,
        gamma: float = 1.0,
        reward_scale_factor: float = 1.0,
        initial_log_alpha: float = 0.0,
        use_log_alpha_in_alpha_loss: bool = True,
        target_entropy: float | None = None,
        gradient_clipping: float | None = None,
        debug_summaries: bool = False,
        summarize_grads_and_vars: bool = False,
        train_step_counter: StepCounter | None = None,
        name: str | None = None,
        *,
        enable_summaries: bool = True,
        summary_interval: int = 100,
        on_nan: str = "raise",
    ):
        self._check_actions(action_spec)
        check_bootstrapping(gamma, target_update_tau, target_update_period)
        for label, weight in (
            ("actor_loss_weight", actor_loss_weight),
            ("critic_loss_weight", critic_loss_weight),
            ("alpha_loss_weight", alpha_loss_weight),
        ):
            check_range(label, weight, 0.0, math.inf)
        check_range("reward_scale_factor", reward_scale_factor, -math.inf, math.inf, low_open=True)
        check_range("initial_log_alpha", initial_log_alpha, -80.0, 80.0)  # its exponential is a float32
        check_range("target_entropy", target_entropy, -math.inf, math.inf, low_open=True, optional=True)
        require_network("critic_network", critic_network)
        require_network("actor_network", actor_network)
        collect_policy = actor_policy_ctor(time_step_spec, action_spec, actor_network=actor_network, training=False)
        splitter = collect_policy.observation_and_action_constraint_splitter
        observation_spec = split_observation(splitter, time_step_spec.observation)[0]
        critic_network_2 = critic_network.copy() if critic_network_2 is None else critic_network_2
        critics = {"critic_network": critic_network, "critic_network_2": critic_network_2}
        for label, critic in critics.items():
            require_network(label, critic)
            self._check_critic(label, critic, observation_spec, action_spec)
        targets = (target_critic_network, target_critic_network_2)
        check_apart(critics)
        self._actor_network = actor_network
        self._critics = critics
        self._targets = [own_target(*critic, target) for critic, target in zip(critics.items(), targets, strict=True)]
        check_apart({**critics, **dict(zip(("target_critic_network", "target_critic_network_2"), self._targets))})
        self._loss_weights = float(critic_loss_weight), float(actor_loss_weight), float(alpha_loss_weight)
        self._tau, self._period = float(target_update_tau), int(target_update_period)
        self._td_errors_loss_fn = element_wise_squared_loss if td_errors_loss_fn is None else td_errors_loss_fn
        self._gamma, self._reward_scale_factor = float(gamma), float(reward_scale_factor)
        self._initial_log_alpha = float(initial_log_alpha)
        self._use_log_alpha = use_log_alpha_in_alpha_loss
        self._target_entropy = None if target_entropy is None else float(target_entropy)
        self._recurrent = any(network.state_spec != () for network in (actor_network, *critics.values()))
        networks, optimizers = (
            {"actor_network": actor_network, **critics},
            {
                "critic_optimizer": (critic_optimizer, tuple(critics)),
                "actor_optimizer": (actor_optimizer, ("actor_network",)),
            },
        )
        self._learns_alpha = alpha_optimizer is not None
        if alpha_optimizer is not None:
            networks["log_alpha"] = Parameter(initial_log_alpha, "log_alpha")
            optimizers["alpha_optimizer"] = (alpha_optimizer, ("log_alpha",))
        super().__init__(
            time_step_spec,
            action_spec,
            policy=GreedyPolicy(collect_policy),
            collect_policy=collect_policy,
            networks=networks,
            optimizers=optimizers,
            train_sequence_length=None if self._recurrent else 2,
            observation_and_action_constraint_splitter=splitter,
            gradient_clipping=gradient_clipping,
            debug_summaries=debug_summaries,
            summarize_grads_and_vars=summarize_grads_and_vars,
            enable_summaries=enable_summaries,
            train_step_counter=train_step_counter,
            name=name,
            summary_interval=summary_interval,
            on_nan=on_nan,
        )

    # What depends on the kind of actions.

    def _check_actions(self, action_spec: Any) -> None:
        for path, spec in specs.flatten_with_path(action_spec):
            if specs.is_discrete(spec):
                raise NotImplementedError(
                    explain(
                        f"{type(self).__name__} acts by floats{f', not at {path}' if path else ''}",
                        expected="float32",
                        got=str(spec),
                        fix="DiscreteSacAgent, for one integer action",
                    )
                )
        check_bounded_floats(action_spec, type(self).__name__)

    def _check_critic(self, label: str, critic: Network, observation_spec: Any, action_spec: Any) -> None:
        check_critic(label, critic, observation_spec, action_spec)

    def _entropy_target(self, step: TimeStep) -> Any:
        """Returns the entropy that the temperature steers to, in nats, `[]` or `[...]`."""
        del step
        if self._target_entropy is not None:
            return self._target_entropy
        return -float(sum(math.prod(spec.shape) for spec in specs.flatten(self._action_spec)))

    def _chosen(self, label: str, weights: Weights, step: TimeStep, action: Any, training: bool) -> tuple[Any, Any]:
        """Returns a critic's values of an action that was taken, `[...]`, and its other arrays after the call."""
        observation = split_observation(self._splitter, step.observation)[0], action
        values, _, rest = self._critics[label].apply(weights, observation, step.step_type, training=training)
        return values, rest

    def _expected(
        self, actor: Weights, critics: tuple[Weights, ...], step: TimeStep, draw: Draw, training: bool = False
    ) -> tuple[jax.Array, Any, Any]:
        """Returns an estimate of what the actor's choice is worth, from one draw.

        Args:
          actor: its weights.
          critics: their weights; empty where the value is not asked for.
          step: `[...]`.
          draw: chooses the action.
          training: whether the actor runs in training mode.

        Returns:
          The log-probability `[...]`, the least of the critics' values `[...]` or None, the actor's other arrays.
        """
        distribution, rest = self._distribution(actor, step, training)
        action, log_prob = draw(distribution)
        action = specs.map_structure(as_declared, action, self._action_spec)
        values = [
            self._chosen(n, w, step, action, False)[0] for n, w in zip(self._critics, critics, strict=bool(critics))
        ]
        return log_prob, jnp.minimum(*values) if values else None, rest

    # The algorithm; pure.

    def learn(self, state: AgentState, experience: Any, weights: Any, key: jax.Array) -> tuple[AgentState, LossInfo]:
        """Returns the state after one step of each optimizer, and the losses; pure."""
        return self._learn_from_draws(state, experience, weights, _draws(key))

    def loss_info(self, state: AgentState, experience: Any, weights: Any = None, training: bool = False) -> LossInfo:
        """Returns the losses of a batch, and their sum; pure.

        Args:
          state, experience, weights: as for `update`.
          training: True gives the losses that `train` reports, each by the networks after the steps before it; False
            gives all of them at the present weights.
        """
        if training:
            return self.learn(state, experience, weights, state.step_key)[1]
        params, step, alpha = state.params, self._as_transition(experience), self._alpha(state.params)
        draw_next, draw_actor, draw_alpha = _draws(state.step_key)
        critic = self.critic_loss(params, state, step, alpha, draw_next, training=False)
        parts = {
            "critic_optimizer": critic,
            "actor_optimizer": self.actor_loss(params, state, step, alpha, draw_actor, training=False),
        }
        if self._learns_alpha:
            parts["alpha_optimizer"] = self.alpha_loss(params, state, step, draw_alpha)
        losses = [
            self.weighted_loss({name: params[name] for name in self._optimizers[optimizer][1]}, part, weights)
            for optimizer, part in parts.items()
        ]
        losses += [jnp.zeros(())] * (3 - len(losses))
        return LossInfo(loss=sum(losses, jnp.zeros(())), extra=SacLossInfo(*losses, td_error=critic.extra))

    def _learn_from_draws(
        self, state: AgentState, experience: Any, weights: Any, draws: Sequence[Draw]
    ) -> tuple[AgentState, LossInfo]:
        """Does what `learn` does, with the actions that `draws` give to the critics', the actor's and alpha's loss."""
        step, alpha, start = self._as_transition(experience), self._alpha(state.params), state
        draw_next, draw_actor, draw_alpha = draws
        state, critic = self.minimise(
            start, "critic_optimizer", lambda params: self.critic_loss(params, start, step, alpha, draw_next), weights
        )
        valued = state
        state, actor = self.minimise(
            valued, "actor_optimizer", lambda params: self.actor_loss(params, valued, step, alpha, draw_actor), weights
        )
        improved, alpha_loss = state, jnp.zeros(())
        if self._learns_alpha:
            state, temperature = self.minimise(
                improved, "alpha_optimizer", lambda params: self.alpha_loss(params, improved, step, draw_alpha), weights
            )
            alpha_loss = temperature.loss
        state = state._replace(memory=self._updated_targets(state))
        extra = SacLossInfo(critic.loss, actor.loss, alpha_loss, critic.extra)
        return state, LossInfo(loss=critic.loss + actor.loss + alpha_loss, extra=extra)

    def critic_loss(
        self, params: Any, state: AgentState, step: Transition, alpha: jax.Array, draw: Draw, training: bool = True
    ) -> BatchLoss:
        """Returns the critics' loss of transitions `[B, ...]`; pure.

        Args:
          params: of both critics, by name.
          state: where the actor and the target networks are read.
          step: from frames by `to_n_step_transition`, or of a recurrent agent by `to_transition`.
          alpha: the temperature.
          draw: chooses the next action.
          training: whether the critics run in training mode.
        """
        following, is_real = step.next_time_step, step.time_step.step_type != StepType.LAST
        log_prob, value, _ = self._expected(self.weights_of(state, "actor_network"), state.memory, following, draw)
        bootstrap = self._gamma * following.discount
        target = self._reward_scale_factor * following.reward
        # After the end of an episode a mask may allow no action; the value is then NaN, and is not used.
        target += jnp.where(bootstrap == 0.0, 0.0, bootstrap * (value - alpha * log_prob))
        target = jax.lax.stop_gradient(jnp.where(is_real, target, 0.0))
        losses, errors, rest, predictions = jnp.zeros_like(target), jnp.zeros_like(target), {}, []
        for label in self._critics:
            weights = self.weights_of(state, label, params)
            predicted, rest[label] = self._chosen(label, weights, step.time_step, step.action_step.action, training)
            losses += self._td_errors_loss_fn(target, predicted)
            errors += 0.5 * jnp.abs(target - predicted)
            predictions.append(predicted)
        errors = jnp.where(is_real, errors, 0.0)
        debug = {"loss/td_error": errors, "loss/td_target": target, "loss/q_values": jnp.stack(predictions)}
        return mean_of_real(self._loss_weights[0] * losses, is_real, jax.lax.stop_gradient(errors), rest, debug)

    def actor_loss(
        self, params: Any, state: AgentState, step: Transition, alpha: jax.Array, draw: Draw, training: bool = True
    ) -> BatchLoss:
        """Returns the actor's loss of transitions `[B, ...]`; pure. Arguments as for `critic_loss`."""
        critics = tuple(self.weights_of(state, label) for label in self._critics)
        actor = self.weights_of(state, "actor_network", params)
        log_prob, value, rest = self._expected(actor, critics, step.time_step, draw, training)
        losses = self._loss_weights[1] * (alpha * log_prob - value)
        debug = {"loss/log_probability": log_prob, "loss/value": value, "loss/alpha": alpha}
        return mean_of_real(losses, step.time_step.step_type != StepType.LAST, (), {"actor_network": rest}, debug)

    def alpha_loss(self, params: Any, state: AgentState, step: Transition, draw: Draw) -> BatchLoss:
        """Returns the temperature's loss of transitions `[B, ...]`; pure. Arguments as for `critic_loss`."""
        log_prob, _, _ = self._expected(self.weights_of(state, "actor_network"), (), step.time_step, draw)
        surplus = jax.lax.stop_gradient(-log_prob - self._entropy_target(step.time_step))
        factor = params["log_alpha"]["value"] if self._use_log_alpha else self._alpha(params)
        losses = self._loss_weights[2] * factor * surplus
        is_real = step.time_step.step_type != StepType.LAST
        return mean_of_real(losses, is_real, (), {}, {"loss/entropy": -log_prob})

    def _alpha(self, params: Any) -> jax.Array:
        """Returns the temperature, `[]`."""
        return jnp.exp(params["log_alpha"]["value"] if self._learns_alpha else jnp.float32(self._initial_log_alpha))

    def _distribution(self, actor: Weights, step: TimeStep, training: bool) -> tuple[Any, Any]:
        """Returns the actor's nest of distributions, `[...]`, and its other arrays after the call."""
        observation, mask = split_observation(self._splitter, step.observation)
        output, _, rest = self._actor_network.apply(actor, observation, step.step_type, training=training)
        return action_distributions(output, self._action_spec, mask), rest

    def _as_transition(self, experience: Any) -> Transition:
        if isinstance(experience, Transition):
            return experience
        return to_transition(experience) if self._recurrent else to_n_step_transition(experience, self._gamma)

    def _updated_targets(self, state: AgentState) -> SacMemory:
        """Returns the target networks' weights after the step that `state` has just taken."""
        return SacMemory(
            *(
                updated_target(target, self.weights_of(state, label), self._tau, self._period, state.train_step)
                for label, target in zip(self._critics, state.memory, strict=True)
            )
        )

    def init_memory(self, weights: dict[str, Weights], fresh: bool) -> SacMemory:
        """Returns the target networks' first weights: copies of the online ones, or those that they were given with."""
        targets = zip(self._critics, self._targets, strict=True)
        first = [weights[label] if fresh else target.get_weights() for label, target in targets]
        return SacMemory(*jax.tree.map(jnp.copy, first))

    def policy_weights(self, state: AgentState) -> Weights:
        """Returns the actor network's weights in `state`; pure."""
        return self.weights_of(state, "actor_network")

    def shown_weights(self, state: AgentState) -> list[tuple[Network, Weights]]:
        """Returns the actor, both critics and both targets with their weights in `state`."""
        return [*super().shown_weights(state), *zip(self._targets, state.memory, strict=True)]


def _draws(key: jax.Array) -> list[Draw]:
    """Returns three independent ways to draw: for the critics', the actor's and the temperature's loss."""

    def by(key: jax.Array) -> Draw:
        return lambda nest: Joint(nest).sample_and_log_prob(key)

    return [by(each) for each in jax.random.split(key, 3)]
