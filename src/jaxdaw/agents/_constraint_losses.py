"""Losses of the networks of constraints, added to the loss of reward prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxdaw.agents._decisions import Decisions
from jaxdaw.agents._state import AgentState, BatchLoss
from jaxdaw.errors import SpecError
from jaxdaw.math import index_with_actions
from jaxdaw.networks import Weights, mean_of
from jaxdaw.policies import NeuralConstraint
from jaxdaw.specs import StepType


def constraint_name(number: int) -> str:
    """Returns the name of a constraint's network among an agent's."""
    return f"constraint_network_{number}"


def check_targets(reward_spec: Any, constraints: Sequence[NeuralConstraint], owner: str) -> None:
    """Raises if the reward lacks a target for a constraint.

    Raises:
      SpecError: the reward has another shape.
    """
    wanted = (1 + len(constraints),)
    if constraints and getattr(reward_spec, "shape", None) != wanted:
        raise SpecError(
            f"the reward of {owner} does not hold what its constraints are to learn",
            expected=f"float32 {wanted}: the reward, then one number for each NeuralConstraint",
            got=str(reward_spec)[:80],
            fix=f'time_step_spec(observation_spec, TensorSpec({wanted}, np.float32, "reward"))',
        )


def with_constraints(
    constraints: Sequence[NeuralConstraint],
    batch: BatchLoss,
    params: Any,
    state: AgentState,
    rows: Decisions,
    training: bool,
) -> BatchLoss:
    """Returns the loss of a batch with the errors of all constraints' predictions added, weighted alike; pure.

    Args:
      constraints: C of them.
      batch: of the rewards; `per_example` `[B]` or `[B, T]`.
      params: by the networks' names.
      state: the agent's.
      rows: `[N]`, with rewards `[N, 1 + C]`.
      training: whether the networks run in training mode.
    """
    is_real = rows.step_type != StepType.LAST
    losses, rest = [], dict(batch.rest)
    for number, constraint in enumerate(constraints):
        name = constraint_name(number)
        output, _, rest[name] = constraint.constraint_network.apply(
            Weights(params[name], state.rest[name]), rows.observation, rows.step_type, training=training
        )
        predicted = index_with_actions(mean_of(output), rows.action)
        target = jax.lax.stop_gradient(jnp.where(is_real, rows.reward[:, 1 + number], predicted))
        losses.append(jnp.where(is_real, constraint.errors(target, predicted), 0.0))
    outer = batch.per_example.shape
    added = jnp.stack(losses, axis=-1).reshape(*outer, len(constraints))
    total = jnp.sum(added, axis=-1)
    return batch._replace(
        per_example=batch.per_example + total,
        extra=batch.extra._replace(loss=batch.extra.loss + total, constraint_loss=added),
        rest=rest,
        debug={**batch.debug, "loss/constraint_loss": added},
    )
