"""Action masks: how an observation is split into the network's input and the mask of allowed actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdaw.errors import MaskError

Splitter = Callable[[Any], tuple[Any, Any]]
"""`splitter(observation) -> (network_observation, mask)`; it must work on specs too."""


def split_observation(splitter: Splitter | None, observation: Any) -> tuple[Any, Any | None]:
    """Returns what the network sees, and the mask of allowed actions or None.

    Args:
      splitter: None where every action is always allowed.
      observation: a nest of specs, or of arrays `[...]`.

    Raises:
      MaskError: the splitter does not return a pair, or the mask is neither boolean nor integer.
    """
    if splitter is None:
        return observation, None
    parts = splitter(observation)
    if not isinstance(parts, tuple) or len(parts) != 2:
        raise MaskError(
            "observation_and_action_constraint_splitter must return a pair",
            expected="(network_observation, mask)",
            got=type(parts).__name__,
            fix="lambda observation: (observation['network_input'], observation['mask'])",
        )
    network_observation, mask = parts
    dtype = getattr(mask, "dtype", None)
    if dtype is None or not (dtype == np.bool_ or np.issubdtype(dtype, np.integer)):
        raise MaskError(
            "the mask of allowed actions is not boolean",
            expected="bool or 0/1 integers [..., A]",
            got=str(dtype if dtype is not None else type(mask).__name__),
            cause="mask and observation swapped: the splitter returns (network_observation, mask), in this order.",
            fix="lambda observation: (observation['network_input'], observation['mask'])",
        )
    return network_observation, mask


def check_mask_values(mask: Any, num_actions: int) -> None:
    """Checks a mask on the host.

    Args:
      mask: `[..., A]` bool or integers.
      num_actions: A.

    Raises:
      MaskError: another last axis than `num_actions`, entries other than 0 and 1, or a row that allows nothing.
    """
    mask = np.asarray(mask)
    if mask.ndim == 0 or mask.shape[-1] != num_actions:
        raise MaskError(
            "the mask has another length than there are actions",
            expected=f"[..., {num_actions}]",
            got=str(mask.shape),
        )
    if mask.dtype != np.bool_ and not np.isin(mask, (0, 1)).all():
        odd = mask[~np.isin(mask, (0, 1))]
        raise MaskError("a mask holds other numbers than 0 and 1", expected="0 or 1", got=str(odd[:3].tolist()))
    rows = mask.reshape(-1, num_actions).astype(bool).any(axis=-1)
    if not rows.all():
        raise MaskError(
            f"{int((~rows).sum())} of {len(rows)} rows allow no action (first row {int(np.argmin(rows))})",
            expected="at least one True in every row",
            got="a row of False",
            cause="a dead end: mark it terminated instead; or mask and observation swapped.",
            fix="return termination(observation, reward)  # discount 0: no action is asked for",
        )


def as_bool(mask: Any) -> Any:
    """Returns the mask as booleans (arrays and tracers alike), or None."""
    return None if mask is None else jnp.asarray(mask) != 0
