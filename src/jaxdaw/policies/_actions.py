"""Conversions and checks of the actions that a policy emits, and the sentinels of rows that have none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxdaw import specs


def as_declared(action: Any, spec: specs.TensorSpec) -> Any:
    """Returns a float action in the dtype of its spec: distributions compute in float32 at least."""
    return action.astype(jax.dtypes.canonicalize_dtype(spec.dtype)) if specs.is_continuous(spec) else action


def is_emitted(action: np.ndarray, bounds: tuple[Any, Any]) -> bool:
    """Returns whether an action, or a batch of them, holds no sentinel; `bounds` are its `emitted_bounds`."""
    low, high = bounds
    if low is None:
        return bool(np.isfinite(action).all())
    if action.size == 1:  # the usual case, ten times faster
        return bool(low <= action.item() <= high)
    return bool(((action >= low) & (action <= high)).all())


def rows_without_action(leaves: list[Any], bounds: Sequence[tuple[Any, Any]]) -> str | None:
    """Returns, in words, the rows whose action is the sentinel: values that were not finite. None if there are none."""
    for emitted, (low, high) in zip(map(np.asarray, leaves), bounds, strict=True):
        if not is_emitted(emitted, (low, high)):
            valid = np.isfinite(emitted) if low is None else (emitted >= low) & (emitted <= high)
            rows = np.flatnonzero(~valid.reshape(len(emitted), -1).all(axis=-1))
            return f"{len(rows)} of {len(emitted)} rows (first row {rows[0]})"
    return None


def emitted_bounds(spec: specs.TensorSpec) -> tuple[Any, Any]:
    """Returns the least and the greatest integer action, as numbers if an action is one; None for other actions."""
    if not (isinstance(spec, specs.BoundedTensorSpec) and specs.is_discrete(spec)):
        return None, None
    scalar = spec.shape == ()
    return (spec.minimum.item(), spec.maximum.item()) if scalar else (spec.minimum, spec.maximum)
