"""Base class of policies that wrap another policy (greedy, epsilon-greedy, Boltzmann, noise)."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxdaw.networks import Network
from jaxdaw.policies._base import Policy
from jaxdaw.trajectories import PolicyStep, TimeStep


class WrappedPolicy(Policy):
    """A policy with another's specs, weights and memory.

    Args:
      policy: what is inside.
      policy_state_spec: a nest of specs; None for the wrapped policy's own.
      clip, emit_log_probability, name: as for `Policy`.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        policy_state_spec: Any = None,
        clip: bool,
        emit_log_probability: bool,
        name: str | None,
    ):
        super().__init__(
            policy.time_step_spec,
            policy.action_spec,
            policy.policy_state_spec if policy_state_spec is None else policy_state_spec,
            policy.info_spec,
            clip=clip,
            emit_log_probability=emit_log_probability,
            automatic_state_reset=False,  # the wrapped policy's `distribute` resets
            observation_and_action_constraint_splitter=policy.observation_and_action_constraint_splitter,
            name=name,
        )
        self._wrapped = policy

    @property
    def wrapped_policy(self) -> Policy:
        """The policy inside."""
        return self._wrapped

    @property
    def learned_keys(self) -> np.ndarray | None:
        """See `Policy`."""
        return self._wrapped.learned_keys

    @learned_keys.setter
    def learned_keys(self, keys: np.ndarray | None) -> None:  # type: ignore[override]  # kept by the wrapped policy
        self._wrapped.learned_keys = keys

    def greedy(self) -> Policy:
        """Returns the wrapped policy without its exploration."""
        return self._wrapped.greedy()

    def _networks(self) -> tuple[Network, ...]:
        return self._wrapped._networks()

    def _report(self, time_step: TimeStep, choice: PolicyStep, action: Any) -> Any:
        return self._wrapped._report(time_step, choice, action)

    def _check_mask(self, time_step: TimeStep) -> None:
        self._wrapped._check_mask(time_step)

    def get_weights(self) -> Any:
        """Returns the wrapped policy's weights."""
        return self._wrapped.get_weights()

    def _weight_leaves(self) -> list[Any]:
        own = type(self).get_weights is WrappedPolicy.get_weights  # a subclass may override get_weights
        return self._wrapped._weight_leaves() if own else super()._weight_leaves()

    def _no_action(self, rows: str) -> Exception:
        return self._wrapped._no_action(rows)
