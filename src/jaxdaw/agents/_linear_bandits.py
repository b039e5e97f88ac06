"""Linear bandits: exact Bayesian regression of rewards, with upper confidence bounds or Thompson sampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxdaw.agents._checks import check_range
from jaxdaw.agents._reward_prediction import GreedyRewardPredictionAgent
from jaxdaw.agents._state import AgentState, StepCounter
from jaxdaw.errors import ConfigError
from jaxdaw.networks import LinearRewardNetwork
from jaxdaw.policies import (
    Constraint,
    LinearThompsonSamplingPolicy,
    LinearUCBPolicy,
    Splitter,
    split_observation,
    trained_constraints,
)
from jaxdaw.trajectories import LossInfo, StepType, TimeStep


class LinearBanditAgent(GreedyRewardPredictionAgent):
    """Base class of LinearUCBAgent and LinearThompsonSamplingAgent: an update without gradients.

    A train step folds the batch into the posterior, exactly and in any order: a batch of 100 decisions and 100 batches
    of one give the same. A weight counts as that many decisions. The loss is the squared error of the mean before the
    batch was seen, which makes it an honest measure as training goes on. Frames with `step_type` LAST teach nothing.

    `policy` and `collect_policy` are one, and explore; evaluate `agent.policy.greedy()`.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: the bare spec of one scalar int32 or int64 action in `0..A-1`.
      reward_network: a LinearRewardNetwork, to share one or to go on with one; None makes one.
      alpha: 0 or more, what deviations are multiplied with.
      gamma: the forgetting factor, in `[0, 1]`: what all before counts after each train step; 1 forgets nothing. The
        prior is not forgotten.
      tikhonov_weight: above 0, the precision of the prior, for a network that is made.
      add_bias: whether a network that is made has a feature that is always 1.
      emit_policy_info: fields of `PolicyInfo` to record.
      observation_and_action_constraint_splitter, accepts_per_arm_features, constraints, num_samples_list,
        debug_summaries, summarize_grads_and_vars, enable_summaries, train_step_counter, summary_interval, on_nan, name:
        as for `GreedyRewardPredictionAgent`.

    Raises:
      ValueError: another action, a network for other observations, a number outside its range.
      NotImplementedError: a splitter, and features of arms.
    """

    _policy_class: type[LinearUCBPolicy] | type[LinearThompsonSamplingPolicy]

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        reward_network: LinearRewardNetwork | None = None,
        alpha: float = 1.0,
        gamma: float = 1.0,
        tikhonov_weight: float = 1.0,
        add_bias: bool = False,
        emit_policy_info: Sequence[str] = (),
        observation_and_action_constraint_splitter: Splitter | None = None,
        accepts_per_arm_features: bool = False,
        debug_summaries: bool = False,
        summarize_grads_and_vars: bool = False,
        enable_summaries: bool = True,
        train_step_counter: StepCounter | None = None,
        name: str | None = None,
        *,
        constraints: Sequence[Constraint] = (),
        num_samples_list: Sequence[int] = (),
        summary_interval: int = 100,
        on_nan: str = "raise",
    ):
        check_range("alpha", alpha, 0.0, float("inf"))
        check_range("gamma", gamma, 0.0, 1.0)
        splitter = observation_and_action_constraint_splitter
        if reward_network is None:
            observation_spec, _ = split_observation(splitter, time_step_spec.observation)
            reward_network = LinearRewardNetwork(
                observation_spec, action_spec, tikhonov_weight, add_bias, accepts_per_arm_features
            )
        if not isinstance(reward_network, LinearRewardNetwork):
            raise ConfigError(
                "reward_network is not linear",
                expected="LinearRewardNetwork",
                got=type(reward_network).__name__,
                fix="NeuralEpsilonGreedyAgent(time_step_spec, action_spec, reward_network, optimizer, epsilon=0.1)",
            )
        if trained_constraints(constraints):
            raise ConfigError(
                f"{type(self).__name__} takes no gradients, by which the networks of constraints would learn",
                expected="constraints that are functions",
                got="a NeuralConstraint",
                fix="NeuralEpsilonGreedyAgent(..., constraints=constraints)",
            )
        self._linear, self._forgetting = reward_network, float(gamma)
        policy = self._policy_class(
            time_step_spec,
            action_spec,
            reward_network,
            alpha,
            splitter,
            accepts_per_arm_features,
            constraints,
            emit_policy_info,
        )
        super().__init__(
            time_step_spec,
            action_spec,
            reward_network,
            {},
            observation_and_action_constraint_splitter=splitter,
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

    def learn(self, state: AgentState, experience: Any, weights: Any, key: jax.Array) -> tuple[AgentState, LossInfo]:
        """Returns the state with the batch folded into the posterior, and the loss of the mean before it; pure."""
        batch = self.batch_loss(state.params, state, experience, key, True)
        loss = self.weighted_loss(state.params, batch, weights)
        rows, outer = self.rows_of(experience)
        counted = jnp.ones((), jnp.float32) if weights is None else jnp.asarray(weights, jnp.float32)
        counted = jnp.broadcast_to(counted.reshape(*counted.shape, *(1,) * (len(outer) - counted.ndim)), outer)
        counted = jnp.where(rows.step_type != StepType.LAST, counted.reshape(-1), 0.0)
        before = state.params["reward_network"]
        after = self._linear.learned(before, rows.observation, rows.action, rows.reward, counted, self._forgetting)
        change = jax.tree.map(jnp.subtract, after, before)
        for leaf in jax.tree.leaves(change):
            loss = jnp.where(jnp.all(jnp.isfinite(leaf)), loss, jnp.nan)
        state = state._replace(params={"reward_network": after}, memory=self.counted(state.memory, rows))
        return self.summarised(state, "", loss, batch, {"reward_network": change}), LossInfo(loss, batch.extra)


class LinearUCBAgent(LinearBanditAgent):
    """This is LinearBanditAgent with: the action of the highest `mean + alpha * deviation`. Args as LinearBanditAgent.

    Source: Li, Chu, Langford & Schapire 2010, "A contextual-bandit approach to personalized news article
    recommendation".
    """

    _policy_class = LinearUCBPolicy


class LinearThompsonSamplingAgent(LinearBanditAgent):
    """This is LinearBanditAgent with: each action with the probability that it is the best. Args as LinearBanditAgent.

    Propensities are exact: see `LinearThompsonSamplingPolicy` and `docs/decisions/`.

    Source: Agrawal & Goyal 2013, "Thompson sampling for contextual bandits with linear payoffs".
    """

    _policy_class = LinearThompsonSamplingPolicy
