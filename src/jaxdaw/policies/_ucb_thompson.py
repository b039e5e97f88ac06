"""Policies with reward uncertainty: LinUCB, and Thompson sampling with exact propensities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.distributions import largest_of_normals, votes
from jaxdaw.errors import ConfigError
from jaxdaw.networks import EnsembleNetwork, Network, RewardBelief
from jaxdaw.policies._base import Policy
from jaxdaw.policies._constraints import Splitter
from jaxdaw.policies._info import BanditPolicyType, with_explored
from jaxdaw.policies._q import draw_uniforms, sample_one_leaf
from jaxdaw.policies._reward_prediction import Constraint, GreedyRewardPredictionPolicy
from jaxdaw.trajectories import PolicyStep, TimeStep


class _BeliefPolicy(GreedyRewardPredictionPolicy):
    """A policy over what is believed of each action's reward: a mean, and a deviation that counts `alpha` times."""

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        reward_network: Network,
        alpha: float = 1.0,
        observation_and_action_constraint_splitter: Splitter | None = None,
        accepts_per_arm_features: bool = False,
        constraints: Sequence[Constraint] = (),
        emit_policy_info: Sequence[str] = (),
        name: str | None = None,
    ):
        self._alpha = _check_alpha(alpha)
        super().__init__(
            time_step_spec,
            action_spec,
            reward_network,
            observation_and_action_constraint_splitter,
            accepts_per_arm_features,
            constraints,
            emit_policy_info,
            name,
        )

    def _check_network(self) -> None:
        super()._check_network()
        _check_beliefs(self._reward_network, self.name)

    @property
    def alpha(self) -> float:
        """What the deviations are multiplied with."""
        return self._alpha


class LinearUCBPolicy(_BeliefPolicy):
    """Takes the action of the highest `mean + alpha * deviation`; ties go to the lowest.

    It draws nothing: the propensity of what it takes is 1, and from its records nothing else can be evaluated.

    Args:
      time_step_spec, action_spec: as for `GreedyRewardPredictionPolicy`.
      reward_network: a LinearRewardNetwork, or any network that returns a `RewardBelief`.
      alpha: 0 or more: how many deviations above the mean.
      observation_and_action_constraint_splitter, accepts_per_arm_features, constraints, name: as for
        `GreedyRewardPredictionPolicy`.
      emit_policy_info: "log_probability", "predicted_rewards_mean", "predicted_rewards_optimistic",
        "bandit_policy_type".

    Raises:
      ConfigError: an alpha below 0; and as `GreedyRewardPredictionPolicy`.

    Source: Li, Chu, Langford & Schapire 2010.
    """

    def greedy(self) -> Policy:
        """Returns the policy of the highest mean, which shares this one's network."""
        return plain_greedy(self)

    def _reported(self) -> tuple[str, ...]:
        return (*super()._reported(), "predicted_rewards_optimistic")

    def _predict(self, weights: Any, observation: Any, step_type: Any) -> tuple[Any, dict[str, jax.Array]]:
        belief, _, _ = self._reward_network.apply(weights, observation, step_type)
        optimistic = belief.mean + self._alpha * belief.deviation
        return optimistic, {"predicted_rewards_mean": belief.mean, "predicted_rewards_optimistic": optimistic}


class _DrawingPolicy(GreedyRewardPredictionPolicy):
    """A policy over predicted rewards whose distribution is no certain action."""

    draws = True

    def greedy(self) -> Policy:
        """Returns the policy of the highest mean, which shares this one's network."""
        return plain_greedy(self)

    def draw(self, key: jax.Array, num_steps: int, batch_size: int) -> Any:
        """Returns uniforms `[num_steps, B]`: one number chooses one action."""
        return draw_uniforms(key, num_steps, batch_size)

    def _next_seed(self) -> np.uint32:
        return Policy._next_seed(self)

    def _sample(self, distribution: Any, randomness: Any) -> Any:
        return sample_one_leaf(distribution, randomness)

    def _report(self, time_step: TimeStep, choice: PolicyStep, action: Any) -> Any:
        info = super()._report(time_step, choice, action)
        return with_explored(info, action == choice.action.mode(), BanditPolicyType.UNKNOWN)


class LinearThompsonSamplingPolicy(_BeliefPolicy, _DrawingPolicy):
    """Takes each action with the probability that it is the best, by what is believed of the mean rewards.

    The belief of each action's mean is normal with deviation `alpha * deviation`; they are taken for independent, as in
    TF-Agents, which for models of their own is exact. The probabilities come from an integral instead of samples, and
    are those that are sampled: propensities are exact, and no allowed action has one of 0.

    Args:
      time_step_spec, action_spec: as for `GreedyRewardPredictionPolicy`.
      reward_network: a LinearRewardNetwork, or any network that returns a `RewardBelief`.
      alpha: 0 or more, multiplied with the deviations: the noise of a reward, in its units.
      observation_and_action_constraint_splitter, accepts_per_arm_features, constraints, emit_policy_info, name: as for
        `GreedyRewardPredictionPolicy`.

    Raises:
      ConfigError: an alpha below 0; and as `GreedyRewardPredictionPolicy`.

    Source: Agrawal & Goyal 2013.
    """

    def _predict(self, weights: Any, observation: Any, step_type: Any) -> tuple[Any, dict[str, jax.Array]]:
        belief, _, _ = self._reward_network.apply(weights, observation, step_type)
        return belief, {"predicted_rewards_mean": belief.mean}

    def _choose(self, values: Any, allowed: Any) -> Any:
        dtype = np.dtype(self._action_spec.dtype)
        return largest_of_normals(values.mean, self._alpha * values.deviation, allowed, dtype=dtype)


class EnsembleThompsonSamplingPolicy(_DrawingPolicy):
    """Draws a member of an ensemble, and takes the action that it predicts to be best; ties go to the lowest.

    The distribution is the mean of the members' greedy ones: `k / M` where k of M members prefer an action. That is the
    propensity of the draw itself, and no estimate. An action that no member prefers has a propensity of 0.

    Args:
      time_step_spec, action_spec: as for `GreedyRewardPredictionPolicy`.
      reward_network: an EnsembleNetwork of reward networks.
      observation_and_action_constraint_splitter, accepts_per_arm_features, constraints, emit_policy_info, name: as for
        `GreedyRewardPredictionPolicy`.

    Raises:
      ConfigError: another network; and as `GreedyRewardPredictionPolicy`.

    Source: Osband & Van Roy 2015; Lu & Van Roy 2017.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        reward_network: Network,
        observation_and_action_constraint_splitter: Splitter | None = None,
        accepts_per_arm_features: bool = False,
        constraints: Sequence[Constraint] = (),
        emit_policy_info: Sequence[str] = (),
        name: str | None = None,
    ):
        if not isinstance(reward_network, EnsembleNetwork):
            raise ConfigError(
                f"{type(self).__name__} needs several reward models",
                expected="EnsembleNetwork",
                got=type(reward_network).__name__,
                fix="EnsembleNetwork(reward_network, num_members=10)",
            )
        self._ensemble = reward_network
        super().__init__(
            time_step_spec,
            action_spec,
            reward_network,
            observation_and_action_constraint_splitter,
            accepts_per_arm_features,
            constraints,
            emit_policy_info,
            name,
        )

    @property
    def ensemble(self) -> EnsembleNetwork:
        """The reward models."""
        return self._ensemble

    def _predict(self, weights: Any, observation: Any, step_type: Any) -> tuple[Any, dict[str, jax.Array]]:
        members, _ = self._ensemble.apply_members(weights, observation, step_type)
        return members, {"predicted_rewards_mean": jnp.mean(members, axis=0)}

    def _choose(self, values: Any, allowed: Any) -> Any:
        return votes(values, allowed, dtype=np.dtype(self._action_spec.dtype))


def plain_greedy(policy: GreedyRewardPredictionPolicy) -> GreedyRewardPredictionPolicy:
    """Returns the policy of the highest expected reward, with the same network, mask and constraints."""
    known = {"log_probability", "predicted_rewards_mean", "bandit_policy_type"}
    greedy = GreedyRewardPredictionPolicy(
        policy.time_step_spec,
        policy.action_spec,
        policy.reward_network,
        policy.observation_and_action_constraint_splitter,
        policy.accepts_per_arm_features,
        policy.constraints,
        tuple(field for field in policy.emit_policy_info if field in known),
    )
    greedy.learned_keys = policy.learned_keys
    return greedy


def _check_beliefs(network: Network, owner: str) -> None:
    output = network.create_variables()
    if not isinstance(output, RewardBelief):
        raise ConfigError(
            f"{owner} needs to know how sure {network.name} is",
            expected="a network that returns a RewardBelief",
            got=f"one that returns {type(output).__name__}",
            fix="LinearRewardNetwork(time_step_spec.observation, action_spec)",
        )


def _check_alpha(alpha: float) -> float:
    if not 0.0 <= alpha < math.inf:
        raise ConfigError("alpha is outside its range", expected="[0, inf)", got=repr(alpha))
    return float(alpha)
