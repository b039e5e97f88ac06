"""Probabilities with which a candidate policy takes each arm in each logged context."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.data import Decisions
from jaxdaw.distributions import Deterministic
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.policies import GreedyPolicy, Policy

Candidate = Policy | str | np.ndarray | Callable[[Decisions], Any]
"""A policy; `uniform`, `logged`, `greedy` or `constant:ARM`; probabilities `[N, A]`; or a function that gives them."""

BUILT_IN = ("uniform", "logged", "greedy", "constant:ARM")
_BATCH = 8192
_TOLERANCE = 1e-4


def policy_probabilities(policy: Policy, decisions: Decisions) -> np.ndarray:
    """Returns the probability with which a policy takes each arm in each logged context.

    The context is the observation; of a log with arm features it is `{"global": context, "per_arm": arm_features}`,
    unless the policy's observations have the form of the context alone. Where the log says which arms were eligible,
    the policy chooses among these, as `jaxdaw decide` has it choose among the arms of a request.

    Args:
      policy: of one scalar integer action; one with memory acts from its initial state.
      decisions: the log.

    Returns:
      `[N, A]` float32.

    Raises:
      SpecError: the policy has another number of actions than the log has arms, or other observations.
      MaskError, NonFiniteError: as `Policy.distribution`.
    """
    leaves = specs.flatten(policy.action_spec)
    sizes = [specs.num_values(leaf) for leaf in leaves if specs.is_bounded(leaf) and specs.is_discrete(leaf)]
    if len(leaves) != 1 or not sizes or leaves[0].shape != () or int(sizes[0]) != decisions.num_arms:
        raise SpecError(
            f"{policy.name} does not choose among the arms of the log",
            expected=f"one integer action out of {decisions.num_arms}",
            got=str(policy.action_spec)[:100],
        )
    lowest = int(leaves[0].minimum)
    count, found = len(decisions), np.zeros((len(decisions), decisions.num_arms or 1), np.float32)
    observation = _observation(policy, decisions)
    eligible = None if decisions.eligible is None or decisions.eligible.all() else decisions.eligible
    size = min(_BATCH, count)
    masked = policy.wrapped_policy if eligible is not None and isinstance(policy, GreedyPolicy) else policy
    for start in range(0, count, size):
        stop = min(start + size, count)
        rows = np.minimum(
            np.arange(start, start + size), count - 1
        )  # every batch has the same size, so it compiles once
        batch = specs.map_structure(lambda leaf, rows=rows: leaf[rows], observation)
        try:
            distribution = masked.distribution(batch).action
            if eligible is not None and hasattr(distribution, "mask"):
                own, allowed = distribution.mask, jnp.asarray(eligible[rows])
                distribution = dataclasses.replace(distribution, mask=allowed if own is None else own & allowed)
        except SpecError as error:
            raise SpecError(f"{policy.name} does not fit the contexts of the log: {error}") from error
        if masked is not policy:  # the mask comes before the greedy choice, not after it
            distribution = Deterministic(distribution.mode())
        found[start:stop] = _probabilities(distribution, decisions.num_arms or 1, lowest)[: stop - start]
    return found


def candidate_probabilities(candidate: Candidate, decisions: Decisions, q: np.ndarray | None = None) -> np.ndarray:
    """Returns the probabilities `[N, A]` of any candidate but `logged` without all its probabilities.

    Args:
      candidate: see `Candidate`.
      decisions: the log.
      q: `[N, A]`, expected rewards, which `greedy` takes the largest of.

    Raises:
      SpecError: probabilities of another shape, below 0, or that do not add up to 1.
      ConfigError: an unknown name, or an arm that does not exist.
    """
    count, num_arms = len(decisions), decisions.num_arms or 1
    eligible = np.ones((count, num_arms), bool) if decisions.eligible is None else decisions.eligible
    if isinstance(candidate, Policy):
        return policy_probabilities(candidate, decisions)
    if isinstance(candidate, str):
        if candidate == "uniform":
            return eligible / eligible.sum(axis=1, keepdims=True, dtype=np.float32)
        if candidate == "logged" and decisions.probabilities is not None:
            return decisions.probabilities
        if candidate == "greedy" and q is not None:
            best = np.argmax(np.where(eligible, q, -np.inf), axis=1)
            return (best[:, None] == np.arange(num_arms)).astype(np.float32)
        name, _, arm = candidate.partition(":")
        if name == "constant" and arm.isdecimal() and int(arm) < num_arms:
            return np.broadcast_to((np.arange(num_arms) == int(arm)).astype(np.float32), (count, num_arms))
        expected = ", ".join(BUILT_IN) + f" with an arm in 0..{num_arms - 1}"
        raise ConfigError(f"there is no candidate {candidate!r}", expected=expected, got=candidate)
    found = np.asarray(candidate(decisions) if callable(candidate) else candidate)
    if found.shape != (count, num_arms) or found.dtype.kind != "f":
        expected = f"float ({count}, {num_arms})"
        raise SpecError("a candidate's probabilities do not fit the log", expected=expected, got=str(found.shape))
    wrong = ~((found >= 0).all(axis=1) & (np.abs(found.sum(axis=1) - 1) < _TOLERANCE))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise SpecError(
            f"a candidate's probabilities are none in {int(wrong.sum()):,} rows (first row {first})",
            expected="at least 0, adding up to 1",
            got=str(found[first][:3].tolist()),
        )
    return found


def _observation(policy: Policy, decisions: Decisions) -> Any:
    spec = policy.time_step_spec.observation
    per_arm = isinstance(spec, dict) and set(spec) >= {"global", "per_arm"}
    if per_arm and specs.flatten(decisions.arm_features):
        return {"global": decisions.context, "per_arm": decisions.arm_features}
    return decisions.context


def _probabilities(distribution: Any, num_arms: int, lowest: int) -> np.ndarray:
    if hasattr(distribution, "probs"):
        return np.asarray(distribution.probs)
    arms = [jnp.full(distribution.batch_shape, lowest + arm) for arm in range(num_arms)]
    return np.exp(np.stack([np.asarray(distribution.log_prob(arm)) for arm in arms], axis=-1))
