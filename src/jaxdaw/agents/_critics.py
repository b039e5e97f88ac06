"""What agents that learn float actions by critics share: checks, and means over frames that teach."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.agents._state import BatchLoss
from jaxdaw.errors import SpecError
from jaxdaw.networks import require_network
from jaxdaw.policies import check_input_of


def check_bounded_floats(action_spec: Any, owner: str) -> None:
    """Checks that all actions are floats between finite bounds.

    Raises:
      SpecError: no action, an integer, or bounds that are missing, infinite or equal.
    """
    leaves = specs.flatten_with_path(action_spec)
    if not leaves:
        raise SpecError(f"{owner} needs an action", expected="a nest of BoundedTensorSpec", got="an empty nest")
    for path, spec in leaves:
        where = f" at {path}" if path else ""
        if not specs.is_continuous(spec):
            raise SpecError(
                f"{owner} acts by floats{where}",
                expected="float32",
                got=str(spec),
                fix="DqnAgent or DiscreteSacAgent, for one integer action",
            )
        is_bounded = isinstance(spec, specs.BoundedTensorSpec)
        if not is_bounded or not np.isfinite(spec.maximum - spec.minimum).all() or (spec.minimum == spec.maximum).any():
            raise SpecError(
                f"{owner} acts between finite bounds{where}",
                expected="BoundedTensorSpec(shape, float32, minimum, maximum), minimum < maximum",
                got=str(spec),
                cause="an action space without limits, or an element with a single value.",
                fix="gymnasium.wrappers.RescaleAction(env, -1.0, 1.0)",
            )


def check_critic(label: str, critic: Any, observation_spec: Any, action_spec: Any) -> None:
    """Checks that a network gives one value to an observation and an action.

    Raises:
      ConfigError: no Network.
      SpecError: made for other observations or actions, or another output.
    """
    require_network(label, critic)
    check_input_of(critic, (observation_spec, action_spec))
    output = critic.create_variables((observation_spec, action_spec))
    if not isinstance(output, specs.TensorSpec) or output.shape != ():
        raise SpecError(
            f"{label} does not give one value",
            expected="[B]",
            got=f"[B, ...] of {output}"[:80],
            fix="CriticNetwork((observation_spec, action_spec))",
        )


def mean_of_real(losses: jax.Array, is_real: jax.Array, extra: Any, rest: Any, debug: Any) -> BatchLoss:
    """Returns the mean over rows that are no boundary between episodes; sequences are summed over time; pure.

    Args:
      losses: `[B]` or `[B, T]`.
      is_real: of the same shape, False for boundary frames, which count neither in the sum nor in what divides it.
      extra, rest, debug: as for `BatchLoss`.
    """
    losses = jnp.where(is_real, losses, 0.0)
    if losses.ndim == 2:
        losses, is_real = jnp.sum(losses, axis=1), jnp.any(is_real, axis=1)
    return BatchLoss(losses, extra, rest, debug, count=jnp.maximum(jnp.sum(is_real), 1))
