"""GreedyRewardPredictionAgent: a network predicts the reward of every action of a contextual bandit."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, overload

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from jaxdaw import specs
from jaxdaw.agents._agent import Agent, Optimizers
from jaxdaw.agents._checks import check_example_weights, check_network, check_range
from jaxdaw.agents._chosen_arms import of_chosen_arms, without_arms
from jaxdaw.agents._constraint_losses import check_targets, constraint_name, with_constraints
from jaxdaw.agents._decisions import Decisions, admit_decisions, bound_to_decisions, bound_to_experience, decisions_of
from jaxdaw.agents._state import AgentState, BatchLoss, StepCounter
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.math import edges_of_laplacian, element_wise_squared_loss, index_with_actions, smoothness_penalty
from jaxdaw.networks import Network, RewardPrediction, Weights, mean_of
from jaxdaw.policies import (
    Constraint,
    GreedyRewardPredictionPolicy,
    Policy,
    Splitter,
    check_bandit_action,
    trained_constraints,
)
from jaxdaw.trajectories import LossInfo, StepType, TimeStep, Trajectory, Transition

ErrorLoss = Callable[..., Any]
"""`error_loss_fn(labels, predictions) -> loss`, element-wise."""


class RewardPredictionLossInfo(NamedTuple):
    """Per-example values that reward prediction reports in `LossInfo.extra`.

    Attributes:
      loss: `[B, T]`, or `[B]` of a Transition: what each frame adds to the mean at a weight of 1, without
        regularization; 0 for boundary frames.
      predicted_reward: the same shape, the reward predicted for the action that was taken.
      constraint_loss: `[..., C]`, the share of each `NeuralConstraint` in `loss`; `()` without any.
    """

    loss: Any
    predicted_reward: Any
    constraint_loss: Any = ()


class RewardPredictionMemory(NamedTuple):
    """State of reward prediction beside its networks, in `AgentState.memory`.

    Attributes:
      num_samples: `[A]` int32, how often each action was seen; `[1]`, the total, with features of arms.
    """

    num_samples: Any


class GreedyRewardPredictionAgent(Agent):
    """Learns the expected reward of each action in each context, and takes the best.

    For a decision with predictions `p`, action `a`, reward `r` and weight `w` the loss is
    `w * error_loss_fn(r, p[a]) + w * laplacian_smoothing_weight * p^T L p`; the total is the mean over all frames. A
    network that returns a `RewardPrediction` is trained by `w * exp(-l[a]) / 2` times that, plus `l[a] / 2`, with `l`
    the log-variance. Frames with `step_type` LAST, whose action means nothing, count 0. Masks play no part in training.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: the bare spec of one scalar int32 or int64 action in `0..A-1`.
      reward_network: `network(observation, step_type) -> (rewards [B, A] or a RewardPrediction, ())`.
      optimizer: an optax transformation.
      observation_and_action_constraint_splitter: `observation -> (network_observation, mask)`, or None. The mask holds
        for the greedy choice and for exploration.
      error_loss_fn: `(labels, predictions) -> loss`, element-wise; None is the squared error. One that names
        `reduction` is called with `reduction="none"`. For rewards of 0 and 1 and a network of probabilities:
        `jaxdaw.math.element_wise_log_loss`.
      gradient_clipping: each variable's gradient is scaled to at most this norm; None for none.
      debug_summaries: whether to summarise losses and predictions.
      summarize_grads_and_vars: whether to summarise gradients and variables.
      enable_summaries: False turns both kinds of summaries off.
      emit_policy_info: fields of `PolicyInfo` to record: "log_probability" (the propensity, for off-policy
        evaluation), "predicted_rewards_mean", "bandit_policy_type".
      train_step_counter: a StepCounter to share; None makes one of its own.
      laplacian_matrix: `[A, A]`, symmetric, rows that sum to 0: the graph of similar actions; None for none. See
        `jaxdaw.math.ordinal_laplacian` and `nearest_neighbor_laplacian`.
      laplacian_smoothing_weight: of the penalty for neighbours of different rewards; without a matrix it does nothing.
      name: defaults to the class name.
      accepts_per_arm_features: whether observations are `{"global": ..., "per_arm": [A, ...], "num_actions"?}`. The
        agent then learns from `policy_info.chosen_arm_features` and the global features alone.
      constraints: see `GreedyRewardPredictionPolicy`: they hold while exploring too. The network of a
        `NeuralConstraint` is trained along: with C of them rewards are `[..., 1 + C]`, and `time_step_spec` says so.
      num_samples_list: how often each action was seen before training begins, A integers (one total, with features of
        arms): the agent then counts on, see `num_samples`. `()` counts nothing.
      explorer: what to put around the greedy policy, `lambda policy: BoltzmannPolicy(policy, 0.5)`; None for nothing.
      summary_interval: train steps between two summaries.
      on_nan: what `train` does about steps refused as not finite: "raise", "skip" or "ignore", see `Agent`.

    `train_sequence_length` is 1. More frames are taken too: each is a decision of its own.

    Raises:
      ValueError: another action, a network of another width, a matrix that is no Laplacian of the actions, a number
        outside its range.
      NotImplementedError: a splitter, and features of arms.

    `docs/differences.md` lists where the original is not followed.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        reward_network: Network,
        optimizer: optax.GradientTransformation | Optimizers,
        observation_and_action_constraint_splitter: Splitter | None = None,
        error_loss_fn: ErrorLoss | None = None,
        gradient_clipping: float | None = None,
        debug_summaries: bool = False,
        summarize_grads_and_vars: bool = False,
        enable_summaries: bool = True,
        emit_policy_info: Sequence[str] = (),
        train_step_counter: StepCounter | None = None,
        laplacian_matrix: Any = None,
        laplacian_smoothing_weight: float = 0.001,
        name: str | None = None,
        *,
        accepts_per_arm_features: bool = False,
        constraints: Sequence[Constraint] = (),
        num_samples_list: Sequence[int] = (),
        explorer: Callable[[GreedyRewardPredictionPolicy], Policy] | None = None,
        summary_interval: int = 100,
        on_nan: str = "raise",
    ):
        check_network("reward_network", reward_network)
        self._num_actions = int(specs.num_values(check_bandit_action(action_spec, type(self).__name__)))
        self._trained = trained_constraints(constraints)
        check_targets(time_step_spec.reward, self._trained, type(self).__name__)
        check_range("laplacian_smoothing_weight", laplacian_smoothing_weight, -math.inf, math.inf, low_open=True)
        greedy = GreedyRewardPredictionPolicy(
            time_step_spec,
            action_spec,
            reward_network,
            observation_and_action_constraint_splitter=observation_and_action_constraint_splitter,
            accepts_per_arm_features=accepts_per_arm_features,
            constraints=constraints,
            emit_policy_info=emit_policy_info,
        )
        policy = greedy if explorer is None else explorer(greedy)
        frame = policy.trajectory_spec
        if accepts_per_arm_features:
            frame = frame._replace(observation=without_arms(frame.observation))
        if laplacian_matrix is not None and accepts_per_arm_features:
            raise ConfigError(
                "a Laplacian needs actions that are the same in every decision",
                expected="laplacian_matrix=None, or accepts_per_arm_features=False",
                got="both",
            )
        self._edges = None if laplacian_matrix is None else edges_of_laplacian(laplacian_matrix, self._num_actions)
        self._smoothing_weight = float(laplacian_smoothing_weight)
        self._reward_network = reward_network
        self._error_loss_fn = element_wise_squared_loss if error_loss_fn is None else error_loss_fn
        self._error_options = _options_of(self._error_loss_fn)
        self._accepts_per_arm_features = accepts_per_arm_features
        self._first_counts = self._check_counts(num_samples_list)
        super().__init__(
            time_step_spec,
            action_spec,
            policy=policy,
            collect_policy=policy,
            networks={"reward_network": reward_network}
            | {constraint_name(i): constraint.constraint_network for i, constraint in enumerate(self._trained)},
            optimizers=optimizer,
            train_sequence_length=1,
            observation_and_action_constraint_splitter=observation_and_action_constraint_splitter,
            gradient_clipping=gradient_clipping,
            debug_summaries=debug_summaries,
            summarize_grads_and_vars=summarize_grads_and_vars,
            enable_summaries=enable_summaries,
            train_step_counter=train_step_counter,
            training_data_spec=frame,
            learns_by_frame=True,
            name=name,
            summary_interval=summary_interval,
            on_nan=on_nan,
        )

    # The algorithm; pure.

    def learn(self, state: AgentState, experience: Any, weights: Any, key: jax.Array) -> tuple[AgentState, LossInfo]:
        """Returns the state after one gradient step, with the actions of the batch counted; pure."""
        state, info = super().learn(state, experience, weights, key)
        return state._replace(memory=self.counted(state.memory, self.rows_of(experience)[0])), info

    def batch_loss(self, params: Any, state: AgentState, experience: Any, key: jax.Array, training: bool) -> BatchLoss:
        """Returns the loss of predicted rewards, and of what constraints predict; pure."""
        rows, outer = self.rows_of(experience)
        if not self._trained:
            return self.reward_loss(params, state, rows, outer, key, training)
        earned = rows._replace(reward=rows.reward[:, 0])
        batch = self.reward_loss(params, state, earned, outer, key, training)
        return with_constraints(self._trained, batch, params, state, rows, training)

    def reward_loss(
        self, params: Any, state: AgentState, rows: Decisions, outer: tuple[int, ...], key: jax.Array, training: bool
    ) -> BatchLoss:
        """Returns the loss of predicted rewards, of rows that had the outer axes `outer`; pure."""
        del key
        weights = self.weights_of(state, "reward_network", params)
        output, _, rest = self._reward_network.apply(weights, rows.observation, rows.step_type, training=training)
        means = mean_of(output)
        predicted = index_with_actions(means, rows.action)
        is_real = rows.step_type != StepType.LAST
        reward = jax.lax.stop_gradient(jnp.where(is_real, rows.reward, predicted))  # undefined at a boundary
        loss = self.errors(reward, predicted)
        if self._edges is not None:
            loss += self._smoothing_weight * smoothness_penalty(means, self._edges)
        half_log_variance = jnp.zeros_like(loss)
        if isinstance(output, RewardPrediction):
            half_log_variance = 0.5 * index_with_actions(output.log_variance, rows.action)
            loss *= 0.5 * jnp.exp(-2.0 * half_log_variance)
        loss, half_log_variance = (jnp.where(is_real, part, 0.0).reshape(outer) for part in (loss, half_log_variance))
        predicted = predicted.reshape(outer)
        return BatchLoss(
            per_example=loss,
            extra=RewardPredictionLossInfo(loss=loss + half_log_variance, predicted_reward=predicted),
            rest={"reward_network": rest},
            debug={"loss/reward_loss": loss + half_log_variance, "loss/predicted_reward": predicted},
            unweighted=half_log_variance,
        )

    def errors(self, reward: jax.Array, predicted: jax.Array) -> jax.Array:
        """Returns `error_loss_fn` of each row, `[N]`; pure."""
        errors = jnp.asarray(self._error_loss_fn(reward, predicted, **self._error_options))
        if errors.shape != predicted.shape:
            raise SpecError(
                "error_loss_fn must return a loss for each example",
                expected=str(predicted.shape),
                got=str(errors.shape),
                cause="a mean over the batch, which would leave nothing to weight.",
                fix="lambda labels, predictions: (predictions - labels) ** 2",
            )
        return errors

    def rows_of(self, experience: Any) -> tuple[Decisions, tuple[int, ...]]:
        """Returns what a loss reads: rows as they are, or one for each frame, and their outer axes."""
        if isinstance(experience, Decisions):
            return experience, jnp.shape(experience.action)
        return decisions_of(experience, self._splitter, self._accepts_per_arm_features)

    def counted(self, memory: Any, rows: Decisions) -> Any:
        """Returns the memory with the actions of these rows counted; pure."""
        if self._first_counts is None:
            return memory
        is_seen = rows.action[:, None] == jnp.arange(len(self._first_counts))
        is_seen &= (rows.step_type != StepType.LAST)[:, None]
        return RewardPredictionMemory(memory.num_samples + jnp.sum(is_seen, axis=0, dtype=jnp.int32))

    def init_memory(self, weights: dict[str, Weights], fresh: bool) -> Any:
        """Returns the counts that the agent begins with, if it counts."""
        return () if self._first_counts is None else RewardPredictionMemory(jnp.asarray(self._first_counts))

    def prepare(self, state: AgentState, rollout: Any) -> Any:
        """Returns the experience as `train` reads it: with features of arms, only those of the chosen arms; pure.

        `train` and `loss` do this themselves; do it before you store frames of many arms. Where `policy_info` does not
        hold the chosen arms' features, they are looked up by the action.

        Args:
          state: not looked at.
          rollout: a Trajectory or Transition whose observations may hold `"per_arm"` `[..., A, *feature]`.
        """
        return of_chosen_arms(rollout) if self._accepts_per_arm_features else rollout

    def policy_weights(self, state: AgentState) -> Any:
        """Returns the networks' weights in `state`, with the rate of exploration as it stands now; pure."""
        return self._policy.weights_now(self._weights_in(state))

    def collect_policy_weights(self, state: AgentState, step: Any) -> Any:
        """Returns the same, with the rate of exploration as it is after `step` environment steps; pure."""
        return self._policy.weights_at(self._weights_in(state), step)

    def _weights_in(self, state: AgentState) -> Any:
        weights = tuple(self.weights_of(state, name) for name in self._networks)
        return weights if self._trained else weights[0]

    # Documented methods and properties.

    @overload
    def loss(self, experience: Any, weights: Any = None, training: bool = False) -> LossInfo: ...
    @overload
    def loss(
        self, observations: Any, actions: Any, rewards: Any, weights: Any = None, training: bool = False
    ) -> LossInfo: ...

    def loss(self, *args: Any, **kwargs: Any) -> LossInfo:
        """Returns the loss that `train` would minimise on these decisions, and changes nothing.

        Called as `loss(experience, weights=None, training=False)` or as `loss(observations, actions, rewards,
        weights=None, training=False)`.

        Args:
          experience: a Trajectory `[B, T, ...]` or `[B, ...]`, or a Transition `[B, ...]`.
          observations: `[B, ...]`, with or without the mask; with features of arms, of all of them.
          actions: integers `[B]`.
          rewards: float32 `[B]`.
          weights: None, `[]`, or one for each example: multiplied with its loss before the mean.
          training: whether the network runs in training mode (dropout on).

        Raises:
          ValueError, TypeError: as `train`; an action for each row is needed, and no more.
          NonFiniteError: NaN or infinity in the batch, unless `on_nan` says otherwise. What is traced by `jax.jit` is
            not looked at, and gives NaN.
        """
        self._require_initialized()
        first = args[0] if args else kwargs.get("experience", kwargs.get("observations"))
        if "experience" in kwargs or isinstance(first, Trajectory | Transition) or len(args) + len(kwargs) < 3:
            experience, weights, training = bound_to_experience(*args, **kwargs)
            if isinstance(experience, Trajectory) and np.ndim(experience.step_type) == 1:
                experience = specs.map_structure(lambda x: x[:, None], experience)
            return super().loss(experience, weights, training)
        *given, weights, training = bound_to_decisions(*args, **kwargs)
        rows = admit_decisions(
            tuple(given), self._time_step_spec, self._action_spec, self._splitter, self.name, self._on_nan == "raise"
        )
        self._checks.check_weight_shape(weights, np.shape(rows.action))
        if weights is not None and not isinstance(weights, Tracer):
            check_example_weights(weights)
        return self._compiled_loss(self.get_state(), rows, weights, training)

    @property
    def reward_network(self) -> Network:
        """The network that is trained."""
        return self._reward_network

    @property
    def num_samples(self) -> np.ndarray:
        """How often each action was seen, `[A]`; one total with features of arms; `[0]` if nothing is counted."""
        return np.zeros(0, np.int32) if self._first_counts is None else np.asarray(self.get_state().memory.num_samples)

    def _check_counts(self, counts: Sequence[int]) -> np.ndarray | None:
        if len(counts) == 0:
            return None
        expected = 1 if self._accepts_per_arm_features else self._num_actions
        if len(counts) != expected or not all(int(count) == count >= 0 for count in counts):
            raise ConfigError(
                "num_samples_list does not count the actions",
                expected=f"{expected} integers of at least 0",
                got=f"{len(counts)}: {list(counts)[:3]}",
            )
        return np.asarray(counts, np.int32)


def _options_of(error_loss_fn: ErrorLoss) -> dict[str, Any]:
    """Returns the arguments with which a loss function returns one number for each example."""
    if not callable(error_loss_fn):
        raise ConfigError(
            "error_loss_fn is not a function",
            expected="(labels, predictions) -> loss",
            got=repr(error_loss_fn)[:60],
            fix="jaxdaw.math.element_wise_huber_loss",
        )
    parameters = inspect.signature(error_loss_fn).parameters
    needed = {name for name, p in parameters.items() if p.default is p.empty}
    return ({"reduction": "none"} if "reduction" in parameters else {}) | (
        {"weights": 1.0} if "weights" in needed else {}
    )
