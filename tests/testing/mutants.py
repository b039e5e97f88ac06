"""Runs a suite on something with one fault, and tells which checks found it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxdaw import networks, specs, trajectories
from jaxdaw.errors import JaxdawError

OBSERVATION = specs.BoundedTensorSpec((2,), np.float32, -2.0, 2.0, "observation")
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 2, "action")
STEP = trajectories.time_step_spec(OBSERVATION)


def q_network() -> networks.QNetwork:
    return networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,))


def found_by(checks: tuple[Callable[[Any], None], ...], make: Callable[..., Any]) -> list[str]:
    """Returns the names of the checks that refuse; anything else that is raised is an error."""
    found = []
    for check in checks:
        try:
            check(make)
        except (AssertionError, JaxdawError) as error:
            found.append(check.__name__ if str(error) else f"{check.__name__} without a word")
    return found
