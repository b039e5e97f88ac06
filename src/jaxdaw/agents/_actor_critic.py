"""ActorCritic: base class of on-policy agents with an actor and a value network: policies, normalizers, advantages."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdaw import specs
from jaxdaw.agents._agent import Agent
from jaxdaw.agents._checks import check_choice, check_optimizer, check_range
from jaxdaw.agents._state import AgentState
from jaxdaw.errors import ConfigError, JaxdawWarning, SpecError
from jaxdaw.math import discounted_returns, generalized_advantages
from jaxdaw.networks import Network, StreamingNormalizer, Weights
from jaxdaw.policies import ActorPolicy, GreedyPolicy, PPOPolicy, Splitter, split_observation
from jaxdaw.trajectories import StepType, TimeStep, Trajectory, episode_ends, generalized_advantage_estimation


class PreparedFrames(NamedTuple):
    """Frames with what is computed once for a rollout: `[B, T, ...]`, or `[B, ...]` where a batch holds single frames.

    Attributes:
      frames: the Trajectory.
      returns: what the value network is to predict.
      advantage: not normalized.
      value: what the value network predicted before it learned from the rollout.
    """

    frames: Trajectory
    returns: Any
    advantage: Any
    value: Any


class RewardNormalizer(StreamingNormalizer):
    """Divides by the running deviation of what it has seen, without subtracting the mean.

    Where all that it has seen is one number, there is no deviation to divide by, and nothing is divided.

    Args:
      clip_value: bound of what comes out; 0 for none.
      name: defaults to the class name.
    """

    def __init__(self, clip_value: float, name: str | None = None):
        super().__init__(specs.TensorSpec((), np.float32), name)
        self._clip_value = float(clip_value)

    def call(self, observation: Any, training: bool = False) -> tuple[Any, Any]:
        """Returns the normalized rewards, and `()`; see `StreamingNormalizer.call`."""
        super().call(observation, training)
        scaled = self.normalize(observation, self._clip_value, center_mean=False)
        bound = self._clip_value or jnp.inf
        is_known = self._variances()[0] > 0.0
        return jnp.where(is_known, scaled, jnp.clip(observation, -bound, bound)), ()


class ActorCritic(Agent):
    """Learns from rollouts that its collect policy recorded: frames with returns and advantages.

    `prepare` computes these once for a rollout, with the weights and statistics that recorded it. A subclass learns
    from `PreparedFrames`, calls `finish` of this class where a rollout ends, and has `AgentState.memory` to itself.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: a nest of BoundedTensorSpec.
      optimizer: an optax transformation, for both networks.
      actor_net, value_net: without variables in common.
      greedy_eval: whether `policy` takes the mode; False draws.
      discount_factor: in `[0, 1]`.
      lambda_value: in `[0, 1]`, of generalized advantages.
      use_gae: whether advantages are generalized; False takes the return minus the value.
      use_td_lambda_return: with `use_gae`, whether the return is the advantage plus the value.
      normalize_rewards, reward_norm_clipping: whether rewards are divided by a running deviation, and then bounded.
      reward_normalization: of what the deviation is: "reward", or "return", discounted sums of rewards.
      normalize_observations: whether both networks are given observations of mean 0 and deviation 1.
      update_normalizers_in_train: whether `finish` moves the statistics.
      compute_value_and_advantage_in_train: False records values while collecting.
      gradient_clipping: of the norm of all gradients together; None or 0 for none.
      observation_and_action_constraint_splitter: `observation -> (network_observation, mask)`, or None; it comes before
        the normalizer.
      options: of `Agent`.

    Warns:
      JaxdawWarning: `use_td_lambda_return` without `use_gae`.

    Raises:
      ConfigError: no network, networks that share variables, or a number outside its range.
      SpecError: an output that is no distribution over the actions, or no value.

    Source: Schulman et al. 2016 (advantages).
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        optimizer: optax.GradientTransformation | None,
        actor_net: Network | None,
        value_net: Network | None,
        *,
        greedy_eval: bool,
        discount_factor: float,
        lambda_value: float,
        use_gae: bool,
        use_td_lambda_return: bool,
        normalize_rewards: bool,
        reward_norm_clipping: float,
        reward_normalization: str,
        normalize_observations: bool,
        update_normalizers_in_train: bool,
        compute_value_and_advantage_in_train: bool,
        gradient_clipping: float | None,
        observation_and_action_constraint_splitter: Splitter | None,
        **options: Any,
    ):
        check_range("lambda_value", lambda_value, 0.0, 1.0)
        check_range("discount_factor", discount_factor, 0.0, 1.0)
        check_range("reward_norm_clipping", reward_norm_clipping, 0.0, math.inf)
        check_range("gradient_clipping", gradient_clipping, 0.0, math.inf, optional=True)
        check_choice("reward_normalization", reward_normalization, ("reward", "return"))
        check_optimizer("optimizer", optimizer)
        if use_td_lambda_return and not use_gae:
            warnings.warn(
                "use_td_lambda_return has no effect without use_gae: returns are sums of rewards",
                JaxdawWarning,
                stacklevel=3,
            )
        self._gamma, self._lambda = float(discount_factor), float(lambda_value)
        self._use_gae, self._use_td_lambda_return = use_gae, use_td_lambda_return
        self._scales_by_returns = normalize_rewards and reward_normalization == "return"
        self._updates_normalizers = update_normalizers_in_train
        self._computes_in_train = compute_value_and_advantage_in_train
        seen, _ = split_observation(observation_and_action_constraint_splitter, time_step_spec.observation)
        self._observation_normalizer = StreamingNormalizer(seen) if normalize_observations else None
        self._reward_normalizer = RewardNormalizer(reward_norm_clipping) if normalize_rewards else None
        acting: dict[str, Any] = {
            "observation_normalizer": self._observation_normalizer,
            "observation_and_action_constraint_splitter": observation_and_action_constraint_splitter,
            "clip": False,  # a recorded action has the recorded probability; environments clip
        }
        given: Any = (time_step_spec, action_spec, actor_net)
        self._recorder = PPOPolicy(
            *given,
            value_net,  # type: ignore[arg-type]  # which refuses None
            compute_value_and_advantage_in_train=compute_value_and_advantage_in_train,
            reward_discount=discount_factor if self._scales_by_returns else None,
            **acting,
        )
        policy = ActorPolicy(*given, **acting)
        networks: dict[str, Any] = {
            "actor_network": actor_net,
            "value_network": value_net,
            "observation_normalizer": self._observation_normalizer,
            "reward_normalizer": self._reward_normalizer,
        }
        _check_apart(actor_net, value_net)
        training_data_spec = self._recorder.trajectory_spec
        if not compute_value_and_advantage_in_train:
            scalar = specs.TensorSpec((), np.float32)
            info = {**training_data_spec.policy_info, "return": scalar, "advantage": scalar}
            training_data_spec = training_data_spec._replace(policy_info=info)
        step: Any = optimizer
        clipping = (optax.clip_by_global_norm(gradient_clipping),) if gradient_clipping else ()
        super().__init__(
            time_step_spec,
            action_spec,
            policy=GreedyPolicy(policy) if greedy_eval else policy,
            collect_policy=self._recorder,
            networks={label: network for label, network in networks.items() if network is not None},
            optimizers={"optimizer": (optax.chain(*clipping, step), ("actor_network", "value_network"))},
            observation_and_action_constraint_splitter=observation_and_action_constraint_splitter,
            training_data_spec=training_data_spec,
            learns_by_frame=True,
            takes_transitions=False,
            **options,
        )
        self._prepares = False  # `learn` prepares a whole Trajectory itself, inside the compiled step

    # What is computed once for a rollout; all pure.

    def prepare(self, state: AgentState, rollout: Any) -> PreparedFrames:
        """Returns every frame but the last of each row, with its return, advantage and value; pure.

        Args:
          state: whose value network and normalizers are used; those that recorded the rollout.
          rollout: a Trajectory `[B, T, ...]`, as `collect_policy` records it.

        Raises:
          SpecError: rows of one frame.
        """
        frames: Trajectory = rollout
        if jnp.shape(frames.reward)[1] < 2:
            raise SpecError(
                f"{self.name} needs at least two frames in a row, of which the last lends its value",
                expected="T >= 2",
                got="T = 1",
            )
        if self._computes_in_train:
            value = self._values(state, state.params, frames)[0]
        else:
            value = jnp.asarray(frames.policy_info["value_prediction"])
        reward = self._normalized_reward(state, frames)
        kept: Trajectory = jax.tree.map(lambda x: x[:, :-1], frames)
        returns, advantage = self._estimates(reward[:, :-1], kept.discount, value, episode_ends(frames)[:, :-1])
        return PreparedFrames(kept, returns, advantage, value[:, :-1])

    def finish(self, state: AgentState, rollout: PreparedFrames) -> AgentState:
        """Returns the state with the normalizers' statistics moved by a rollout; pure."""
        return self._moved(state, rollout.frames) if self._updates_normalizers else state

    def _estimates(self, reward: Any, discount: Any, value: Any, ends: Any) -> tuple[jax.Array, jax.Array]:
        """Returns the returns and advantages of T transitions, from the values `[B, T + 1]` of their steps.

        `value[:, t + 1]` is of the observation that transition t led to, also where it ended the episode: a LAST step
        is recorded, with the observation that a time limit cut the episode at.
        """
        discount = self._gamma * discount
        returns = jax.vmap(discounted_returns)(reward, discount, value[:, 1:], ends)
        if not self._use_gae:
            return returns, returns - value[:, :-1]
        estimate = jax.vmap(generalized_advantages, in_axes=(0, 0, 0, 0, None, 0))
        advantage = estimate(reward, discount, value[:, :-1], value[:, 1:], self._lambda, ends)
        return (advantage + value[:, :-1] if self._use_td_lambda_return else returns), advantage

    def _normalized_reward(self, state: AgentState, frames: Trajectory) -> jax.Array:
        """Returns the rewards over the deviation so far; before anything is known, over that of these frames."""
        reward = jnp.where(frames.step_type == StepType.LAST, 0.0, frames.reward)
        if self._reward_normalizer is None:
            return reward
        known = self.weights_of(state, "reward_normalizer")
        return _scaled(self._reward_normalizer, known, reward, self._reward_samples(frames))

    def _reward_samples(self, frames: Trajectory) -> jax.Array:
        """Returns what the deviation of rewards is taken of, NaN in frames that do not count."""
        if self._scales_by_returns:  # before a FIRST step nothing was earned
            return jnp.where(frames.step_type != StepType.FIRST, frames.policy_info["discounted_return"], jnp.nan)
        return jnp.where(frames.step_type != StepType.LAST, frames.reward, jnp.nan)

    def _moved(self, state: AgentState, frames: Trajectory) -> AgentState:
        """Returns the state with the normalizers' statistics moved by frames; boundary frames show observations too."""
        rest = dict(state.rest)
        if self._observation_normalizer is not None:
            observation, _ = split_observation(self._splitter, frames.observation)
            statistics = self.weights_of(state, "observation_normalizer")
            rest["observation_normalizer"] = self._observation_normalizer.apply(statistics, observation, training=True)[
                2
            ]
        if self._reward_normalizer is not None:
            statistics = self.weights_of(state, "reward_normalizer")
            samples = self._reward_samples(frames)
            rest["reward_normalizer"] = self._reward_normalizer.apply(statistics, samples, training=True)[2]
        return state._replace(rest=rest)

    # The networks, as the policies use them; all pure.

    def _distributions(self, state: AgentState, params: Any, frames: Trajectory, training: bool) -> tuple[Any, Any]:
        """Returns the distributions over actions, and the actor network's other arrays after the call."""
        output, _, rest = self._recorder.distributions(
            self._actor_weights(state, params),
            frames.observation,
            frames.step_type,
            _first_of(frames, "network_state"),
            training,
        )
        return output, rest

    def _values(self, state: AgentState, params: Any, frames: Trajectory, training: bool = False) -> tuple[Any, Any]:
        """Returns the values of frames, and the value network's other arrays after the call."""
        observation, _ = split_observation(self._splitter, frames.observation)
        if self._observation_normalizer is not None:
            statistics = self.weights_of(state, "observation_normalizer")
            observation = self._observation_normalizer.apply(statistics, observation)[0]
        weights, network = self.weights_of(state, "value_network", params), self._recorder.value_network
        before = _first_of(frames, "value_network_state")
        value, _, rest = network.apply(weights, observation, frames.step_type, before, training)
        return value, rest

    def _actor_weights(self, state: AgentState, params: Any = None) -> Any:
        actor = self.weights_of(state, "actor_network", params)
        if self._observation_normalizer is None:
            return actor
        return actor, self.weights_of(state, "observation_normalizer")

    def policy_weights(self, state: AgentState) -> Any:
        """Returns the actor network's weights in `state`; with a normalizer, the pair of its and the normalizer's."""
        return self._actor_weights(state)

    def collect_policy_weights(self, state: AgentState, step: Any) -> Any:
        """Returns the same, and the value network's weights if the collect policy predicts values; pure."""
        del step
        actor = self._actor_weights(state)
        return (actor, self.weights_of(state, "value_network")) if self._recorder.predicts_values else actor

    # Documented methods and properties.

    @property
    def actor_net(self) -> Network:
        """The actor network."""
        return self._networks["actor_network"]

    def preprocess_sequence(self, experience: Any) -> Any:
        """Returns what `train` reads: unless values are computed there, with returns and advantages in `policy_info`.

        Every frame but the last of each row, which lends its value.

        Args:
          experience: a Trajectory `[B, T, ...]`, as `collect_policy` records it.
        """
        if self._computes_in_train:
            return experience
        frames, returns, advantage, _ = self.prepare(self.get_state(), experience)
        return frames._replace(policy_info={**frames.policy_info, "return": returns, "advantage": advantage})

    def compute_return_and_advantage(self, next_time_steps: TimeStep, value_preds: Any) -> tuple[jax.Array, jax.Array]:
        """Returns the returns and the advantages of T transitions, each `[B, T]`.

        Args:
          next_time_steps: `[B, T]`, the time steps that the transitions lead to.
          value_preds: `[B, T + 1]`, the values of all time steps.
        """
        reward = jnp.asarray(next_time_steps.reward)
        if self._reward_normalizer is not None:
            samples = reward * jnp.nan if self._scales_by_returns else reward  # rewards say nothing of returns
            reward = _scaled(self._reward_normalizer, self._reward_normalizer.get_weights(), reward, samples)
        ends = jnp.asarray(next_time_steps.step_type) == StepType.LAST
        return self._estimates(reward, jnp.asarray(next_time_steps.discount), jnp.asarray(value_preds), ends)

    def compute_advantages(self, rewards: Any, returns: Any, discounts: Any, value_preds: Any) -> jax.Array:
        """Returns the advantages of T transitions, `[B, T]`.

        Args:
          rewards, returns: `[B, T]`.
          discounts: `[B, T]`, `discount_factor` times the environment's discount; 0 ends the sum.
          value_preds: `[B, T + 1]`, the values of all time steps.
        """
        if not self._use_gae:
            return jnp.asarray(returns) - value_preds[:, :-1]
        before, after = value_preds[:, :-1], value_preds[:, -1]
        return generalized_advantage_estimation(before, after, discounts, rewards, self._lambda)

    def update_observation_normalizer(self, batched_observations: Any) -> None:
        """Moves the statistics of observations by a batch `[B, T, ...]`, as the environment gives them.

        Raises:
          SpecError, SpecTypeError: another structure, dtype or shape.
          NonFiniteError: NaN or infinity; nothing has moved then.
        """
        if self._observation_normalizer is not None:
            observation, _ = split_observation(self._splitter, batched_observations)
            self._observation_normalizer.update(observation, (0, 1))

    def update_reward_normalizer(self, batched_rewards: Any) -> None:
        """Moves the statistics of rewards by a batch `[B, T]`: of rewards, or of discounted sums of rewards.

        Raises:
          SpecError, SpecTypeError: another dtype or shape.
          NonFiniteError: NaN or infinity; nothing has moved then.
        """
        if self._reward_normalizer is not None:
            self._reward_normalizer.update(batched_rewards, (0, 1))


def _first_of(frames: Trajectory, name: str) -> Any:
    """Returns the state of a network that recorded the first frame of each row, or `()` if there is none."""
    return jax.tree.map(lambda x: x[:, 0], frames.policy_info.get(name, ()))


def _scaled(normalizer: RewardNormalizer, known: Weights, reward: jax.Array, samples: jax.Array) -> jax.Array:
    """Returns rewards normalized by what is known, or by these samples while nothing is known; pure."""
    seeded = normalizer.apply(known, samples, training=True)[2]
    is_new = known.rest["count"]["total"] == 0
    rest = jax.tree.map(lambda new, old: jnp.where(is_new, new, old), seeded, known.rest)
    return normalizer.apply(known._replace(rest=rest), reward)[0]


def _check_apart(actor_net: Any, value_net: Any) -> None:
    shared = {id(v) for v in actor_net.variables} & {id(v) for v in value_net.variables}
    if shared:
        raise ConfigError(
            "actor_net and value_net share variables",
            expected="two networks with variables of their own",
            got=f"{len(shared)} variables in both",
            fix="value_net=ValueNetwork(observation_spec)",
        )
