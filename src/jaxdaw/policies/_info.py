"""PolicyInfo: what a policy reports beside its action."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class BanditPolicyType(enum.IntEnum):
    """What chose an action."""

    UNKNOWN = 0
    GREEDY = 1
    UNIFORM = 2
    BOLTZMANN = 3
    FALCON = 4


class PolicyInfo(NamedTuple):
    """What a policy reports; fields that it was not asked for, or does not know, are `()`.

    Attributes:
      log_probability: `[B]` float32, the log of the probability with which the policy takes the emitted action; of the
        density, where an action is a float.
      predicted_rewards_mean: `[B, A]`, the reward model's prediction for every action.
      multiobjective_scalarized_predicted_rewards_mean: `[B, A]`, of several objectives made into one.
      predicted_rewards_optimistic: `[B, A]`, upper confidence bounds.
      predicted_rewards_sampled: `[B, A]`, a sample of the posterior.
      bandit_policy_type: `[B, 1]` int32, a `BanditPolicyType`: GREEDY where the action is the greedy one, whatever drew
        it; elsewhere the kind of exploration.
      chosen_arm_features: a nest of `[B, ...]`, the features of the arm that was chosen.
    """

    log_probability: Any = ()
    predicted_rewards_mean: Any = ()
    multiobjective_scalarized_predicted_rewards_mean: Any = ()
    predicted_rewards_optimistic: Any = ()
    predicted_rewards_sampled: Any = ()
    bandit_policy_type: Any = ()
    chosen_arm_features: Any = ()


def with_log_probability(info: Any, log_probability: Any) -> Any:
    """Returns `info` with its `log_probability` set; `()` becomes a PolicyInfo, a nest without such a field stays."""
    if info is None or (isinstance(info, tuple) and len(info) == 0):
        return PolicyInfo(log_probability=log_probability)
    if isinstance(info, dict):
        return {**info, "log_probability": log_probability}
    replace = getattr(info, "_replace", None) if "log_probability" in getattr(info, "_fields", ()) else None
    return info if replace is None else replace(log_probability=log_probability)


def with_explored(info: Any, is_greedy: jax.Array, kind: BanditPolicyType) -> Any:
    """Returns `info` with `kind` as the policy type of rows whose action is not the greedy one; pure.

    Args:
      info: a PolicyInfo that holds a policy type, or anything else, which stays as it is.
      is_greedy: `[B]` bool.
      kind: of exploration.
    """
    if not isinstance(info, PolicyInfo) or isinstance(info.bandit_policy_type, tuple):
        return info
    return info._replace(bandit_policy_type=jnp.where(is_greedy[:, None], info.bandit_policy_type, jnp.int32(kind)))
