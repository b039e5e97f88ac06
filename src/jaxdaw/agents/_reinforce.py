"""REINFORCE: the Monte Carlo policy gradient, with an optional value network as its baseline."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdaw.agents._agent import Agent
from jaxdaw.agents._checks import check_range
from jaxdaw.agents._guard import step_unless_refused
from jaxdaw.agents._state import AgentState, BatchLoss, StepCounter
from jaxdaw.distributions import Joint
from jaxdaw.errors import SpecError
from jaxdaw.math import discounted_returns
from jaxdaw.networks import Network, Weights, require_network
from jaxdaw.policies import ActorPolicy, GreedyPolicy
from jaxdaw.trajectories import LossInfo, StepType, TimeStep, Trajectory, episode_ends


class ReinforceAgentLossInfo(NamedTuple):
    """The parts of REINFORCE's loss, each `[]`; their sum is the loss."""

    policy_gradient_loss: Any
    policy_network_regularization_loss: Any
    entropy_regularization_loss: Any
    value_estimation_loss: Any
    value_network_regularization_loss: Any


class ReinforceAgent(Agent):
    """Makes actions more probable the higher the return that followed them.

    Learns from frames `[B, T, ...]` of whole episodes: a frame counts if its episode ends in the same row, and is no
    boundary. With `n` the number of episode ends in the batch, `R` the discounted return that follows a frame, and `A`
    its advantage, the loss is

    ```text
    -1/n sum w log pi(a) A  +  value_estimation_loss_coef / n sum w (R - v)^2  -  entropy_regularization mean(w H(pi))
    ```

    `A` is `R - v` with a value network, otherwise `R`; no gradient flows through it. An episode that was cut by a time
    limit is bootstrapped with the value of its last observation, if there is a value network and the row holds it: an
    episode that was cut at the very end of a row counts as terminated.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: a nest of BoundedTensorSpec.
      actor_network: `network(observation, step_type, state) -> (distributions, state)`, in the nest of the actions.
      optimizer: an optax transformation, for both networks.
      value_network: `network(observation, step_type, state) -> (values [B, T], state)`; None for no baseline.
      value_estimation_loss_coef: of the value network's squared error, at least 0.
      advantage_fn: `(returns, values) -> advantages`, all `[B, T]`; `values` is None without a value network.
      use_advantage_loss: False takes the return for the advantage, in spite of a value network.
      gamma: in `[0, 1]`, the discount of future rewards.
      normalize_returns: whether the advantages of the frames that count are brought to mean 0 and deviation 1.
      gradient_clipping: each variable's gradient is scaled to at most this norm; None for none.
      debug_summaries: whether to summarise returns, advantages and losses.
      summarize_grads_and_vars: whether to summarise gradients and variables.
      entropy_regularization: the weight of the entropy, at least 0; None for none.
      train_step_counter: a StepCounter to share; None makes one of its own.
      name: defaults to the class name.
      enable_summaries: False turns both kinds of summaries off.
      summary_interval: train steps between two summaries.
      on_nan: what `train` does about steps refused as not finite: "raise", "skip" or "ignore", see `Agent`.

    Raises:
      ValueError: a network whose output is not the actions', a number outside its range.

    Source: Williams 1992. `docs/differences.md` lists where the original is not followed.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        actor_network: Network,
        optimizer: optax.GradientTransformation,
        value_network: Network | None = None,
        value_estimation_loss_coef: float = 0.2,
        advantage_fn: Callable[[jax.Array, jax.Array | None], jax.Array] | None = None,
        use_advantage_loss: bool = True,
        gamma: float = 1.0,
        normalize_returns: bool = True,
        gradient_clipping: float | None = None,
        debug_summaries: bool = False,
        summarize_grads_and_vars: bool = False,
        entropy_regularization: float | None = None,
        train_step_counter: StepCounter | None = None,
        name: str | None = None,
        *,
        enable_summaries: bool = True,
        summary_interval: int = 100,
        on_nan: str = "raise",
    ):
        check_range("value_estimation_loss_coef", value_estimation_loss_coef, 0.0, math.inf)
        check_range("gamma", gamma, 0.0, 1.0)
        check_range("entropy_regularization", entropy_regularization, 0.0, math.inf, optional=True)
        networks = {"actor_network": actor_network}
        if value_network is not None:
            require_network("value_network", value_network)
            networks["value_network"] = value_network
        self._actor_network, self._value_network = actor_network, value_network
        self._value_coef = float(value_estimation_loss_coef)
        self._entropy_coef = float(entropy_regularization or 0.0)
        self._gamma = float(gamma)
        self._normalize_returns = normalize_returns
        self._advantage_fn = advantage_fn
        self._use_advantage_loss = use_advantage_loss
        collect_policy = ActorPolicy(time_step_spec, action_spec, actor_network, clip=False)
        super().__init__(
            time_step_spec,
            action_spec,
            policy=GreedyPolicy(ActorPolicy(time_step_spec, action_spec, actor_network)),
            collect_policy=collect_policy,
            networks=networks,
            optimizers=optimizer,
            gradient_clipping=gradient_clipping,
            debug_summaries=debug_summaries,
            summarize_grads_and_vars=summarize_grads_and_vars,
            enable_summaries=enable_summaries,
            summary_interval=summary_interval,
            train_step_counter=train_step_counter,
            learns_by_frame=True,
            takes_transitions=False,
            on_nan=on_nan,
            name=name,
        )

    def batch_loss(self, params: Any, state: AgentState, experience: Any, key: jax.Array, training: bool) -> BatchLoss:
        """Returns the loss of frames `[B, T, ...]`; pure."""
        del key
        frames: Trajectory = experience
        actor = self.weights_of(state, "actor_network", params)
        output, _, actor_rest = self._actor_network.apply(
            actor, frames.observation, frames.step_type, training=training
        )
        rest = {"actor_network": actor_rest}
        value = None
        if self._value_network is not None:
            critic = self.weights_of(state, "value_network", params)
            value, _, rest["value_network"] = self._value_network.apply(
                critic, frames.observation, frames.step_type, training=training
            )
        ends = episode_ends(frames)
        counts = jnp.flip(jnp.cumsum(jnp.flip(ends, 1), 1), 1) > 0
        counts &= frames.step_type != StepType.LAST
        num_ends = jnp.maximum(jnp.sum(ends), 1)
        num_frames = jnp.maximum(jnp.sum(counts), 1)

        returns = self._returns(frames, value, ends)
        advantage = self._advantages(returns, value, counts, num_frames)
        distribution = Joint(output)
        parts = {"policy_gradient": -distribution.log_prob(frames.action) * advantage}
        if self._entropy_coef:  # the entropy is a mean over frames, the other parts are means over episodes
            parts["entropy"] = -self._entropy_coef * distribution.entropy() * (num_ends / num_frames)
        if value is not None:
            parts["value"] = self._value_coef * jnp.square(returns - value)
        parts = {name: jnp.where(counts, part, 0.0) for name, part in parts.items()}
        return BatchLoss(
            per_example=sum(parts.values(), jnp.zeros_like(returns)),
            extra={name: part / num_ends for name, part in parts.items()},
            rest=rest,
            debug={"loss/returns": returns, "loss/advantages": advantage}
            | {f"loss/{name}_loss": part for name, part in parts.items()},
            count=num_ends,
        )

    def learn(self, state: AgentState, experience: Any, weights: Any, key: jax.Array) -> tuple[AgentState, LossInfo]:
        """Returns the state after one gradient step, and the loss before it, in its parts; pure."""
        stepped, info = super().learn(state, experience, weights, key)
        moved, still = (part._replace(summaries={}) for part in (stepped, state))
        kept = step_unless_refused(jnp.any(episode_ends(experience)), moved, still)  # no end, nothing to learn
        stepped = kept._replace(summaries=stepped.summaries)
        return stepped, info._replace(extra=self._parts(state, info.extra, weights))

    def loss_info(self, state: AgentState, experience: Any, weights: Any = None, training: bool = False) -> LossInfo:
        """Returns the loss that `update` minimises, in its parts; pure."""
        info = super().loss_info(state, experience, weights, training)
        return info._replace(extra=self._parts(state, info.extra, weights))

    def _parts(self, state: AgentState, each: dict[str, jax.Array], weights: Any) -> ReinforceAgentLossInfo:
        """Returns the weighted sums of the parts; `each` holds the contribution of every frame, `[B, T]`."""
        weights = jnp.ones(()) if weights is None else jnp.asarray(weights)
        weights = weights.reshape(*weights.shape, *(1,) * (2 - weights.ndim))
        sums = {name: jnp.sum(jnp.where(weights == 0.0, 0.0, weights * part)) for name, part in each.items()}
        zero, penalty = (
            jnp.zeros(()),
            {n: net.regularization_loss(state.params[n]) for n, net in self._networks.items()},
        )
        return ReinforceAgentLossInfo(
            policy_gradient_loss=sums["policy_gradient"],
            policy_network_regularization_loss=penalty["actor_network"],
            entropy_regularization_loss=sums.get("entropy", zero),
            value_estimation_loss=sums.get("value", zero),
            value_network_regularization_loss=penalty.get("value_network", zero),
        )

    def _returns(self, frames: Trajectory, value: jax.Array | None, ends: jax.Array) -> jax.Array:
        """Returns the discounted return that follows each frame, `[B, T]`; no gradient passes."""
        bootstrap = jnp.zeros_like(frames.reward)
        if value is not None:  # value[:, t + 1] is of the observation that frame t led to
            bootstrap = bootstrap.at[:, :-1].set(value[:, 1:])
        returns = jax.vmap(discounted_returns)(frames.reward, self._gamma * frames.discount, bootstrap, ends)
        return jax.lax.stop_gradient(returns)

    def _advantages(
        self, returns: jax.Array, value: jax.Array | None, counts: jax.Array, num_frames: jax.Array
    ) -> jax.Array:
        """Returns the advantage of each frame, `[B, T]`; no gradient passes."""
        if self._advantage_fn is not None:
            advantage = self._advantage_fn(returns, value)
        else:
            advantage = returns - value if value is not None and self._use_advantage_loss else returns
        if self._normalize_returns:
            mean = jnp.sum(jnp.where(counts, advantage, 0.0)) / num_frames
            variance = jnp.sum(jnp.where(counts, jnp.square(advantage - mean), 0.0)) / num_frames
            advantage = (advantage - mean) / (jnp.sqrt(variance) + jnp.finfo(jnp.float32).eps)
        return jax.lax.stop_gradient(advantage)

    def policy_weights(self, state: AgentState) -> Weights:
        """Returns the actor network's weights in `state`; pure."""
        return self.weights_of(state, "actor_network")

    def train(self, experience: Any, weights: Any = None, **kwargs: Any) -> LossInfo:
        """Takes one train step on frames `[B, T, ...]`; see `Agent.train`.

        Raises:
          SpecError: no episode ends in a NumPy batch: there is no return to learn from.
        """
        is_numpy = isinstance(experience, Trajectory) and isinstance(experience.next_step_type, np.ndarray)
        if is_numpy and experience.next_step_type.ndim == 2 and not episode_ends(experience).any():
            raise SpecError(
                f"no episode ends in this batch, from which {self.name} learns",
                expected="next_step_type LAST (2) somewhere",
                got="none",
                cause="fewer frames than an episode has.",
                fix="frames of whole episodes, or more of them",
            )
        return super().train(experience, weights, **kwargs)
