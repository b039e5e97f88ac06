"""What every agent refuses: numbers out of range, and networks and batches from which nothing can be learned."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.agents import _summaries
from jaxdaw.errors import ConfigError, MaskError, NonFiniteError, SpecError
from jaxdaw.networks import require_network
from jaxdaw.policies import Splitter, split_observation
from jaxdaw.trajectories import Trajectory, Transition


def check_range(
    name: str,
    value: Any,
    low: float,
    high: float,
    *,
    low_open: bool = False,
    integer: bool = False,
    optional: bool = False,
) -> None:
    """Checks a number given to a constructor.

    Raises:
      ConfigError: not a number, not an integer where one is needed, NaN, or outside `[low, high]` (`(low, high]`).
    """
    if value is None and optional:
        return
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    number = float(value) if is_number else math.nan  # type: ignore[arg-type]  # NaN is in no range
    inside = (low < number if low_open else low <= number) and number <= high and number != math.inf
    if not inside or (integer and number != int(number)):
        kind = "an integer" if integer else "a number"
        raise ConfigError(
            f"{name} is outside its range",
            expected=f"{kind} in {'(' if low_open else '['}{low}, {high}]",
            got=repr(value),
        )


def check_network(label: str, network: Any) -> None:
    """Checks that a network can be trained.

    Raises:
      ConfigError: no Network, nothing to train, or weights that are not finite.
    """
    require_network(label, network)
    named = _summaries.named_leaves(network.get_weights().params)
    if not named:
        raise ConfigError(f"{label} has nothing to train", expected="at least one nnx.Param", got="none")
    for name, value in named:
        if not np.isfinite(np.asarray(value)).all():
            raise ConfigError(
                f"{label} starts with weights that are not finite at {name}", expected="finite", got="NaN"
            )


def check_example_weights(weights: Any) -> None:
    """Checks the importance weights of a batch.

    Raises:
      SpecError: negative, infinite or NaN.
    """
    values = np.asarray(weights)
    if not ((values >= 0) & (values < np.inf)).all():
        raise SpecError(
            "weights must be finite and not negative",
            expected="[0, inf)",
            got=f"{values.min()} to {values.max()}",
            cause="a probability of 0 in a denominator, or advantages taken for weights.",
        )


def explain_refusal(experience: Any, action_spec: Any, splitter: Splitter | None) -> None:
    """Raises the error that names the leaf and row of a batch to blame; returns if the batch is innocent."""
    for path, leaf in specs.flatten_with_path(experience):
        values = np.asarray(leaf)
        if isinstance(experience, Transition) and path.startswith(".time_step") and not path.endswith("observation"):
            continue  # reward and discount of the opening step mean nothing
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            faulty = ~np.isfinite(values)
            index = [int(i) for i in np.argwhere(faulty)[0]]
            rows = faulty.reshape(len(values), -1).any(axis=1).sum()
            raise NonFiniteError(
                f"{path} holds NaN or infinity in {rows} of {len(values)} rows (first row {index[0]})",
                expected="finite numbers",
                got=f"{values[tuple(index)]} at {index}",
                cause="the environment or the recording; the weights are as they were.",
                fix="trajectories.validate_trajectory(experience)",
            )
    action = experience.action if isinstance(experience, Trajectory) else experience.action_step.action
    specs.check(
        specs.map_structure(np.asarray, action),
        action_spec,
        np.ndim(specs.flatten(action)[0]) - len(specs.flatten(action_spec)[0].shape),
        what="action",
    )
    _explain_masks(experience, splitter)


def _explain_masks(experience: Any, splitter: Splitter | None) -> None:
    if splitter is None or not isinstance(experience, Trajectory):
        return
    mask = np.asarray(split_observation(splitter, experience.observation)[1]).astype(bool)
    stuck = ~mask.any(axis=-1)
    if stuck.any():
        raise MaskError(
            f"{int(stuck.sum())} of {stuck.size} states of the batch allow no action, though their "
            f"episodes go on (first at {[int(i) for i in np.argwhere(stuck)[0]]})",
            expected="at least one allowed action, or discount 0 on the way there",
            got="a mask of zeros",
            fix="return termination(observation, reward)",
        )
