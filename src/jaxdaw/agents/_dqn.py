"""DQN with n-step returns, action masks, recurrent and noisy networks."""

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
from jaxdaw.agents._state import AgentState, BatchLoss, StepCounter
from jaxdaw.agents._target_networks import check_bootstrapping, own_target, updated_target
from jaxdaw.errors import ConfigError, explain
from jaxdaw.math import element_wise_huber_loss, index_with_actions
from jaxdaw.networks import Network, Weights, is_noisy, with_noise
from jaxdaw.policies import (
    BoltzmannPolicy,
    EpsilonGreedyPolicy,
    GreedyPolicy,
    NoisyNetworkPolicy,
    Policy,
    QPolicy,
    Splitter,
    check_scalar_action,
    split_observation,
)
from jaxdaw.trajectories import LossInfo, StepType, TimeStep, Transition, to_n_step_transition, to_transition

ElementWiseLoss = Callable[[jax.Array, jax.Array], jax.Array]


class DqnLossInfo(NamedTuple):
    """Per-example values that DQN reports in `LossInfo.extra`.

    Attributes:
      td_loss: `[B]`, unweighted; summed over time for recurrent networks; 0 for boundary frames.
      td_error: `[B]` or `[B, T-1]`, target minus prediction in units of return; 0 for boundary frames. Its magnitude is
        the priority of the row.
    """

    td_loss: Any
    td_error: Any


class TemporalDifference(NamedTuple):
    """What a batch of transitions teaches, before boundary frames are left out; each `[B]` or `[B, T-1]`.

    Attributes:
      loss: unweighted, differentiated.
      error: target minus prediction; its magnitude is the priority of the row.
      q_values, next_q_values: of the action taken, and of the next action, for summaries.
    """

    loss: jax.Array
    error: jax.Array
    q_values: jax.Array
    next_q_values: jax.Array


class DqnMemory(NamedTuple):
    """State of DQN beside the trained network, in `AgentState.memory`.

    Attributes:
      target_q_network: the weights that give the bootstrap values.
    """

    target_q_network: Weights


class DqnAgent(Agent):
    """Learns action values from recorded transitions, by bootstrapping from a target network.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: one scalar integer action in `0..n-1`.
      q_network: `network(observation, step_type) -> (values [B, n], state)`. If it has noisy layers, each loss and each
        row's action is computed with noise of its own, and `policy` acts by the means.
      optimizer: an optax transformation.
      observation_and_action_constraint_splitter: `observation -> (network_observation, mask)`, or None. The mask holds
        for acting, for exploring, and for the maximum over next actions.
      epsilon_greedy: in `[0, 1]`, the share of uniformly random actions while collecting: a number, a function without
        arguments, or a schedule over environment steps. None is 0.1, unless a temperature is given.
      n_step_update: the number of rewards summed before bootstrapping; `train` then needs `n_step_update + 1` frames.
      boltzmann_temperature: above 0, in units of return: collect by the softmax of the values instead of
        epsilon-greedily.
      emit_log_probability: whether policies report the log-probability of each action.
      target_q_network: a network for the bootstrap values; None copies `q_network`. Its weights are kept until
        `initialize`.
      target_update_tau: in `[0, 1]`, the share of the online weights at each target update; 1 copies them.
      target_update_period: train steps between target updates.
      td_errors_loss_fn: `(target, prediction) -> loss`, element-wise; None is Huber's with delta 1.
      gamma: in `[0, 1]`, the discount of future rewards.
      reward_scale_factor: multiplies the rewards.
      gradient_clipping: each variable's gradient is scaled to at most this norm; None for none.
      debug_summaries: whether to summarise TD errors, losses and values.
      summarize_grads_and_vars: whether to summarise gradients and variables.
      train_step_counter: a StepCounter to share; None makes one of its own.
      name: defaults to the class name.
      enable_summaries: False turns both kinds of summaries off.
      summary_interval: train steps between two summaries.
      on_nan: what `train` does about steps refused as not finite: "raise", "skip" or "ignore", see `Agent`.

    Raises:
      ValueError: not one scalar integer action from 0, a network of another width, a number outside its range, both
        epsilon and temperature, a target network of another structure, or `emit_log_probability` of a noisy network.
      NotImplementedError: a recurrent network with `n_step_update` other than 1.

    Warns:
      UserWarning: the target network shares weights with `q_network` (it is copied).

    Source: Mnih et al. 2015; n-step: Hessel et al. 2018; noisy layers: Fortunato et al. 2018. `docs/differences.md`
      lists where the original is not followed.
    """

    _double = False
    """Whether the online network chooses the next action, which the target network values."""
    _network_argument = "q_network"
    """The constructor's name of the network, for messages."""

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        q_network: Network,
        optimizer: optax.GradientTransformation,
        observation_and_action_constraint_splitter: Splitter | None = None,
        epsilon_greedy: Any = None,
        n_step_update: int = 1,
        boltzmann_temperature: Any = None,
        emit_log_probability: bool = False,
        target_q_network: Network | None = None,
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
        enable_summaries: bool = True,
        summary_interval: int = 100,
        on_nan: str = "raise",
    ):
        check_scalar_action(action_spec, type(self).__name__)
        check_bootstrapping(gamma, target_update_tau, target_update_period)
        check_range("n_step_update", n_step_update, 1, math.inf, integer=True)
        check_range("reward_scale_factor", reward_scale_factor, -math.inf, math.inf, low_open=True)
        if epsilon_greedy is not None and boltzmann_temperature is not None:
            raise ConfigError(
                "epsilon_greedy and boltzmann_temperature exclude each other",
                expected="one of them, or neither (epsilon 0.1)",
                got=f"epsilon_greedy={epsilon_greedy}, boltzmann_temperature={boltzmann_temperature}",
            )
        q_policy = self.make_q_policy(
            time_step_spec,
            action_spec,
            q_network,
            emit_log_probability=emit_log_probability,
            observation_and_action_constraint_splitter=observation_and_action_constraint_splitter,
        )
        self._recurrent = q_network.state_spec != ()
        if self._recurrent and n_step_update != 1:
            raise NotImplementedError(
                explain(
                    "n-step returns are not defined for recurrent networks: their sequences already carry time",
                    expected="n_step_update=1",
                    got=f"n_step_update={n_step_update}",
                )
            )
        if boltzmann_temperature is not None:
            collect_policy: Policy = BoltzmannPolicy(q_policy, boltzmann_temperature)
        else:
            collect_policy = EpsilonGreedyPolicy(q_policy, 0.1 if epsilon_greedy is None else epsilon_greedy)
        if is_noisy(q_network.get_weights()):
            collect_policy = NoisyNetworkPolicy(collect_policy)
        self._q_network = q_network
        if target_q_network is not None:
            q_policy.check_network(target_q_network, action_spec)
        self._target_q_network = own_target(self._network_argument, q_network, target_q_network)
        self._n_step_update = int(n_step_update)
        self._tau = float(target_update_tau)
        self._period = int(target_update_period)
        self._td_errors_loss_fn = element_wise_huber_loss if td_errors_loss_fn is None else td_errors_loss_fn
        self._gamma = float(gamma)
        self._reward_scale_factor = float(reward_scale_factor)
        super().__init__(
            time_step_spec,
            action_spec,
            policy=GreedyPolicy(q_policy),
            collect_policy=collect_policy,
            networks={"q_network": q_network},
            optimizers=optimizer,
            train_sequence_length=None if self._recurrent else self._n_step_update + 1,
            observation_and_action_constraint_splitter=observation_and_action_constraint_splitter,
            gradient_clipping=gradient_clipping,
            debug_summaries=debug_summaries,
            summarize_grads_and_vars=summarize_grads_and_vars,
            enable_summaries=enable_summaries,
            train_step_counter=train_step_counter,
            name=name,
            summary_interval=summary_interval,
            on_nan=on_nan,
        )

    def make_q_policy(self, time_step_spec: TimeStep, action_spec: Any, q_network: Network, **options: Any) -> QPolicy:
        """Returns the policy whose `values_of` makes action values of what the network returns."""
        return QPolicy(time_step_spec, action_spec, q_network, **options)

    # The algorithm; pure.

    def learn(self, state: AgentState, experience: Any, weights: Any, key: jax.Array) -> tuple[AgentState, LossInfo]:
        """Returns the state after one gradient step, and an update of the target network where it is due; pure."""
        state, info = super().learn(state, experience, weights, key)
        return state._replace(memory=DqnMemory(self._updated_target(state))), info

    def batch_loss(self, params: Any, state: AgentState, experience: Any, key: jax.Array, training: bool) -> BatchLoss:
        """Returns the loss of the temporal-difference errors of a batch; pure."""
        key_online, key_target, key_choice = jax.random.split(key, 3)  # used by noisy layers only
        step = self._as_transition(experience)
        observation, _ = split_observation(self._splitter, step.time_step.observation)
        next_observation, next_mask = split_observation(self._splitter, step.next_time_step.observation)
        next_step_type = step.next_time_step.step_type
        weights = self.weights_of(state, "q_network", params)
        output, _, rest = self._q_network.apply(
            with_noise(weights, key_online), observation, step.time_step.step_type, training=training
        )
        next_output, _, _ = self._target_q_network.apply(
            with_noise(state.memory.target_q_network, key_target), next_observation, next_step_type
        )
        chooser = next_output
        if self._double:
            online, _, _ = self._q_network.apply(with_noise(weights, key_choice), next_observation, next_step_type)
            chooser = jax.lax.stop_gradient(online)

        # What a boundary frame holds means nothing, and after the end of an episode the mask may allow no action.
        is_real = step.time_step.step_type != StepType.LAST
        bootstrap = jnp.where(is_real, self._gamma * step.next_time_step.discount, 0.0)
        if next_mask is not None:
            has_next_action = jnp.any(jnp.asarray(next_mask) != 0, axis=-1)
            bootstrap = jnp.where(has_next_action | (bootstrap == 0.0), bootstrap, jnp.nan)
        learned = self.temporal_difference(
            output,
            specs.flatten(step.action_step.action)[0],
            reward=jnp.where(is_real, self._reward_scale_factor * step.next_time_step.reward, 0.0),
            bootstrap=bootstrap,
            next_output=next_output,
            chooser=chooser,
            next_mask=next_mask,
        )
        td_loss = jnp.where(is_real, learned.loss, 0.0)
        td_error = jnp.where(is_real, learned.error, 0.0)
        per_example = jnp.sum(td_loss, axis=1) if td_loss.ndim == 2 else td_loss
        return BatchLoss(
            per_example=per_example,
            extra=DqnLossInfo(td_loss=per_example, td_error=td_error),
            rest={"q_network": rest},
            debug={
                "loss/td_error": td_error,
                "loss/td_loss": td_loss,
                "loss/q_values": learned.q_values,
                "loss/next_q_values": learned.next_q_values,
                "loss/diff_q_values": learned.q_values - learned.next_q_values,
            },
        )

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
        """Returns the loss of what the network returned for the actions taken, towards its targets; pure.

        Args:
          output: `[..., A, *]`, of the online network before the transition.
          action: `[...]`, taken there.
          reward: `[...]`, scaled; of several steps, discounted and summed.
          bootstrap: `[...]`, the factor of the next value: 0 where the episode terminated, whatever the next output
            holds there; NaN where no next action is allowed.
          next_output: `[..., A, *]`, of the target network after the transition.
          chooser: the output, of either network, whose best action is the next one.
          next_mask: `[..., A]`, the actions allowed after the transition; None for all.
        """
        q_values = index_with_actions(output, action)
        next_q_values = _best_value(chooser, next_output, next_mask)
        target = jax.lax.stop_gradient(reward + jnp.where(bootstrap == 0.0, 0.0, bootstrap * next_q_values))
        return TemporalDifference(self._td_errors_loss_fn(target, q_values), target - q_values, q_values, next_q_values)

    def _as_transition(self, experience: Any) -> Transition:
        if isinstance(experience, Transition):
            return experience
        if self._recurrent:
            return to_transition(experience)
        return to_n_step_transition(experience, self._gamma)

    def _updated_target(self, state: AgentState) -> Weights:
        """Returns the target network's weights after the step that `state` has just taken."""
        online, target = self.weights_of(state, "q_network"), state.memory.target_q_network
        return updated_target(target, online, self._tau, self._period, state.train_step)

    def init_memory(self, weights: dict[str, Weights], fresh: bool) -> DqnMemory:
        """Returns the target network's first weights: a copy of the online ones, or those that it was given with."""
        return DqnMemory(
            jax.tree.map(jnp.copy, weights["q_network"] if fresh else self._target_q_network.get_weights())
        )

    def policy_weights(self, state: AgentState) -> Weights:
        """Returns the Q-network's weights in `state`; pure."""
        return self.weights_of(state, "q_network")

    def shown_weights(self, state: AgentState) -> list[tuple[Network, Weights]]:
        """Returns both networks with their weights in `state`."""
        return [*super().shown_weights(state), (self._target_q_network, state.memory.target_q_network)]

    @property
    def target_q_network(self) -> Network:
        """The network that gives the bootstrap values."""
        return self._target_q_network


def best_action(values: jax.Array, mask: Any) -> jax.Array:
    """Returns the allowed action of the highest value, `[...]`; 0 where none is allowed."""
    return jnp.argmax(values if mask is None else jnp.where(jnp.asarray(mask) != 0, values, -jnp.inf), axis=-1)


def entries_of(output: jax.Array, action: jax.Array) -> jax.Array:
    """Returns the K entries of each row's action, `[..., K]` of `[..., A, K]`; NaN for an action out of range."""
    return jax.vmap(index_with_actions, in_axes=(-1, None), out_axes=-1)(output, action)


def _best_value(chooser: jax.Array, values: jax.Array, mask: Any) -> jax.Array:
    """Returns `values` at the allowed action that `chooser` likes best, `[...]`."""
    if chooser is values:  # the maximum is cheaper than looking up where it is
        return jnp.max(values, axis=-1, where=None if mask is None else jnp.asarray(mask) != 0, initial=-jnp.inf)
    return index_with_actions(values, best_action(chooser, mask))
