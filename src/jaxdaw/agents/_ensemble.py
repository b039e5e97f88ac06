"""EnsembleThompsonSamplingAgent: Thompson sampling by reward models trained on bootstrap samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdaw.agents._checks import check_choice, check_range
from jaxdaw.agents._decisions import Decisions
from jaxdaw.agents._reward_prediction import ErrorLoss, GreedyRewardPredictionAgent, RewardPredictionLossInfo
from jaxdaw.agents._state import AgentState, BatchLoss, StepCounter
from jaxdaw.math import index_with_actions
from jaxdaw.networks import EnsembleNetwork, Network
from jaxdaw.policies import Constraint, EnsembleThompsonSamplingPolicy, Splitter
from jaxdaw.trajectories import StepType, TimeStep

_BOOTSTRAPS = ("poisson", "bernoulli", "none")


class EnsembleThompsonSamplingAgent(GreedyRewardPredictionAgent):
    """This is GreedyRewardPredictionAgent with: an ensemble; each decision draws a member and takes its best action.

    Each member weighs every decision of every batch anew, by a random count of mean 1, which stands for drawing the
    data with replacement (the online bootstrap). A member takes the steps that it would take alone: the loss is the sum
    over the members. Propensities are exact, see `EnsembleThompsonSamplingPolicy`. `policy` and `collect_policy` are
    one, and explore; `agent.policy.greedy()` takes the best of the members' mean.

    Args:
      time_step_spec, action_spec, optimizer: as for `GreedyRewardPredictionAgent`.
      reward_network: of which the members are made, or an EnsembleNetwork, which is used as it is.
      num_members: M; of an ensemble that is made.
      prior_scale: 0 or more: how much an untrained network adds to each member, see `EnsembleNetwork`.
      bootstrap: "poisson", counts of mean 1; "bernoulli", 0 or 2; or "none": members differ by their first weights.
      observation_and_action_constraint_splitter, error_loss_fn, gradient_clipping, debug_summaries,
        summarize_grads_and_vars, enable_summaries, emit_policy_info, train_step_counter, name,
        accepts_per_arm_features, constraints, num_samples_list, summary_interval, on_nan: as for
        `GreedyRewardPredictionAgent`.

    Raises:
      ValueError: as `GreedyRewardPredictionAgent`; an unknown bootstrap.
      NotImplementedError: a splitter, and features of arms.

    Source: Eckles & Kaptein 2014; Oza & Russell 2001 for the Poisson counts; Owen & Eckles 2012 for double or nothing.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        reward_network: Network,
        optimizer: optax.GradientTransformation,
        num_members: int = 10,
        prior_scale: float = 0.0,
        bootstrap: str = "poisson",
        observation_and_action_constraint_splitter: Splitter | None = None,
        error_loss_fn: ErrorLoss | None = None,
        gradient_clipping: float | None = None,
        debug_summaries: bool = False,
        summarize_grads_and_vars: bool = False,
        enable_summaries: bool = True,
        emit_policy_info: Sequence[str] = (),
        train_step_counter: StepCounter | None = None,
        name: str | None = None,
        *,
        accepts_per_arm_features: bool = False,
        constraints: Sequence[Constraint] = (),
        num_samples_list: Sequence[int] = (),
        summary_interval: int = 100,
        on_nan: str = "raise",
    ):
        check_range("num_members", num_members, 1, math.inf, integer=True)
        check_range("prior_scale", prior_scale, 0.0, math.inf)
        check_choice("bootstrap", bootstrap, _BOOTSTRAPS)
        if isinstance(reward_network, Network) and not isinstance(reward_network, EnsembleNetwork):
            reward_network = EnsembleNetwork(reward_network, num_members, prior_scale)
        policy = EnsembleThompsonSamplingPolicy(
            time_step_spec,
            action_spec,
            reward_network,
            observation_and_action_constraint_splitter,
            accepts_per_arm_features,
            constraints,
            emit_policy_info,
        )
        self._ensemble, self._bootstrap = policy.ensemble, bootstrap
        super().__init__(
            time_step_spec,
            action_spec,
            reward_network,
            optimizer,
            observation_and_action_constraint_splitter=observation_and_action_constraint_splitter,
            error_loss_fn=error_loss_fn,
            gradient_clipping=gradient_clipping,
            debug_summaries=debug_summaries,
            summarize_grads_and_vars=summarize_grads_and_vars,
            enable_summaries=enable_summaries,
            train_step_counter=train_step_counter,
            name=name,
            accepts_per_arm_features=accepts_per_arm_features,
            constraints=constraints,
            num_samples_list=num_samples_list,
            explorer=lambda greedy: policy,
            summary_interval=summary_interval,
            on_nan=on_nan,
        )

    def reward_loss(
        self, params: Any, state: AgentState, rows: Decisions, outer: tuple[int, ...], key: jax.Array, training: bool
    ) -> BatchLoss:
        """Returns the sum of the members' losses, each over decisions counted by its own bootstrap; pure."""
        weights = self.weights_of(state, "reward_network", params)
        members, rest = self._ensemble.apply_members(weights, rows.observation, rows.step_type, training=training)
        is_real = rows.step_type != StepType.LAST
        predicted = jax.vmap(index_with_actions, (0, None))(members, rows.action)  # [M, N]
        reward = jax.lax.stop_gradient(jnp.where(is_real, rows.reward, predicted))  # undefined at a boundary
        errors = jax.vmap(self.errors)(reward, predicted)
        losses = jnp.where(is_real, self._counts(key, errors.shape) * errors, 0.0)
        per_example, mean = (x.reshape(outer) for x in (jnp.sum(losses, axis=0), jnp.mean(predicted, axis=0)))
        return BatchLoss(
            per_example=per_example,
            extra=RewardPredictionLossInfo(loss=per_example, predicted_reward=mean),
            rest={"reward_network": rest},
            debug={"loss/reward_loss": per_example, "loss/predicted_reward": mean},
        )

    def _counts(self, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Returns how often each member sees each decision of this step's batch, `[M, N]`, of mean 1."""
        if self._bootstrap == "poisson":
            return jax.random.poisson(key, 1.0, shape).astype(jnp.float32)
        if self._bootstrap == "bernoulli":
            return 2.0 * jax.random.bernoulli(key, 0.5, shape).astype(jnp.float32)
        return jnp.ones(shape)
