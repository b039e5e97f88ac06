"""Decisions: the rows that losses of bandits read, from experience or from (observations, actions, rewards)."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxdaw import specs
from jaxdaw.agents._checks import explain_refusal
from jaxdaw.errors import SpecError
from jaxdaw.policies import Splitter, split_observation
from jaxdaw.specs import StepType
from jaxdaw.trajectories import TimeStep, Trajectory, from_transition, single_step


class Decisions(NamedTuple):
    """One row for each decision; `observation` is the part that the network reads."""

    observation: Any
    step_type: Any
    action: Any
    reward: Any


def decisions_of(
    experience: Any, splitter: Splitter | None, accepts_per_arm_features: bool
) -> tuple[Decisions, tuple[int, ...]]:
    """Returns one row for each frame of a Trajectory or Transition, and the outer axes that the frames had; pure."""
    frames = experience if isinstance(experience, Trajectory) else from_transition(*experience)
    outer = jnp.shape(frames.step_type)
    rows = specs.map_structure(lambda x: jnp.reshape(x, (-1, *jnp.shape(x)[len(outer) :])), frames)
    action = rows.action
    if accepts_per_arm_features:
        chosen = specs.map_structure(lambda x: x[:, None], rows.policy_info.chosen_arm_features)
        observation = {"global": rows.observation["global"], "per_arm": chosen}
        action = jnp.zeros_like(action)  # of the only arm
    else:
        observation, _ = split_observation(splitter, rows.observation)
    return Decisions(observation, rows.step_type, action, rows.reward), outer


def admit_decisions(
    given: tuple[Any, Any, Any],
    time_step_spec: TimeStep,
    action_spec: Any,
    splitter: Splitter | None,
    owner: str,
    refuse_nan: bool,
) -> Decisions:
    """Returns the rows of `loss(observations, actions, rewards)`, checked.

    Args:
      given: observations with or without the mask, actions and rewards, `[B, ...]`.
      time_step_spec, action_spec, splitter: the agent's.
      owner: the agent's name, for messages.
      refuse_nan: whether NaN and infinity are refused; of what is traced nobody can tell.

    Raises:
      SpecError, SpecTypeError: another structure, shape or dtype, or an action outside its spec.
      NonFiniteError: NaN or infinity, with the name of the leaf.
    """
    observations, actions, rewards = given
    whole = time_step_spec.observation
    spec = split_observation(splitter, whole)[0]
    if splitter is not None and _fits(whole, observations):
        observations = splitter(specs.prune_extra_keys(whole, observations))[0]
    observations = specs.prune_extra_keys(spec, observations)
    is_traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((observations, actions, rewards)))
    as_array = jnp.asarray if is_traced else np.asarray
    name = f"given to {owner}.loss"
    specs.check(observations, spec, 1, what=f"observations {name}", check_bounds=False)
    rows = specs.outer_shape(observations, spec)
    specs.check(as_array(actions), action_spec, rows, what=f"actions {name}")
    specs.check(as_array(rewards), time_step_spec.reward, rows, what=f"rewards {name}")
    if refuse_nan and not is_traced:
        discounts = np.zeros(rows, np.float32)
        explain_refusal(single_step(observations, actions, (), rewards, discounts), action_spec, None)
    return Decisions(observations, np.full(rows, StepType.FIRST, np.int32), actions, rewards)


def bound_to_experience(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """Returns experience, weights and training, however they were given to `loss`."""
    return _bound(_EXPERIENCE_FORM, args, kwargs)


def bound_to_decisions(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """Returns observations, actions, rewards, weights and training, however they were given to `loss`."""
    return _bound(_DECISIONS_FORM, args, kwargs)


def _bound(form: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    bound = form.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.args


def _experience_form(experience: Any, weights: Any = None, training: bool = False) -> None: ...


def _decisions_form(
    observations: Any, actions: Any, rewards: Any, weights: Any = None, training: bool = False
) -> None: ...


_EXPERIENCE_FORM, _DECISIONS_FORM = inspect.signature(_experience_form), inspect.signature(_decisions_form)


def _fits(spec: Any, observations: Any) -> bool:
    try:
        specs.assert_same_structure(spec, specs.prune_extra_keys(spec, observations))
    except SpecError:
        return False
    return True
