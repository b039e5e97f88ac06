"""RandomPolicy: uniform over the allowed actions."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.distributions import Categorical, Joint, Uniform
from jaxdaw.policies._base import Policy
from jaxdaw.policies._constraints import Splitter, as_bool, split_observation
from jaxdaw.policies._q import check_scalar_action
from jaxdaw.trajectories import PolicyStep, TimeStep


class RandomPolicy(Policy):
    """Chooses uniformly over the action spec, any nest of it, or over the allowed actions.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: a nest of BoundedTensorSpec; with a splitter, one scalar integer from 0.
      emit_log_probability: whether `info` holds the log-probability, summed over the nest.
      observation_and_action_constraint_splitter: `observation -> (network_observation, mask)`, or None.
      name: defaults to the class name.

    Raises:
      SpecError: a splitter with another action spec than one scalar integer from 0.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        emit_log_probability: bool = False,
        observation_and_action_constraint_splitter: Splitter | None = None,
        name: str | None = None,
    ):
        super().__init__(
            time_step_spec,
            action_spec,
            clip=False,
            emit_log_probability=emit_log_probability,
            observation_and_action_constraint_splitter=observation_and_action_constraint_splitter,
            name=name,
        )
        if observation_and_action_constraint_splitter is not None:
            check_scalar_action(action_spec, "RandomPolicy with a mask")

    def _distribution(self, weights: Any, time_step: TimeStep, policy_state: Any) -> PolicyStep:
        batch_size = time_step.step_type.shape[0]
        _, mask = split_observation(self._splitter, time_step.observation)
        if mask is not None:
            spec = specs.flatten(self._action_spec)[0]
            return PolicyStep(
                Categorical(jnp.zeros(mask.shape), as_bool(mask), dtype=np.dtype(spec.dtype)), policy_state
            )

        def over(spec: specs.BoundedTensorSpec) -> Uniform:
            shape = (batch_size, *spec.shape)
            low, high = (jnp.broadcast_to(jnp.asarray(bound), shape) for bound in (spec.minimum, spec.maximum))
            return Uniform(low, high, event_ndims=len(spec.shape))

        del weights
        nest = specs.map_structure(over, self._action_spec)
        return PolicyStep(nest if isinstance(nest, Uniform) else Joint(nest), policy_state)
