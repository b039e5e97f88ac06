"""Reduces experience with features of all arms to the features of the chosen arm."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from jaxdaw.policies import PolicyInfo, features_of
from jaxdaw.trajectories import Trajectory, Transition


def of_chosen_arms(experience: Any) -> Any:
    """Returns a Trajectory or Transition without `observation["per_arm"]`, but with the chosen arms' features.

    Where `policy_info` does not hold them, they are looked up by the action. Anything else is returned as it is.
    """
    if isinstance(experience, Trajectory) and _has_arms(experience.observation):
        info = _with_features(experience.policy_info, experience.observation["per_arm"], experience.action)
        return experience._replace(observation=without_arms(experience.observation), policy_info=info)
    if isinstance(experience, Transition) and _has_arms(experience.time_step.observation):
        step, taken, following = experience
        info = _with_features(taken.info, step.observation["per_arm"], taken.action)
        return Transition(
            step._replace(observation=without_arms(step.observation)),
            taken._replace(info=info),
            following._replace(observation=without_arms(following.observation)),
        )
    return experience


def without_arms(observation: Any) -> Any:
    """Returns an observation, or its spec, without the features of arms."""
    return {key: value for key, value in observation.items() if key != "per_arm"}


def _has_arms(observation: Any) -> bool:
    return isinstance(observation, dict) and "per_arm" in observation


def _with_features(info: Any, per_arm: Any, action: Any) -> PolicyInfo:
    info = info if isinstance(info, PolicyInfo) else PolicyInfo()
    if isinstance(info.chosen_arm_features, tuple) and not info.chosen_arm_features:
        return info._replace(chosen_arm_features=features_of(per_arm, jnp.asarray(action)))
    return info
