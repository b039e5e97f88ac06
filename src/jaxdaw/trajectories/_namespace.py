"""Chooses `numpy` or `jax.numpy` by the type of the arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs


def namespace_of(*nests: Any) -> ModuleType:
    """Returns `jax.numpy` if any leaf lives on the device or is traced, else `numpy`: what goes in comes out."""
    return jnp if any(isinstance(leaf, jax.Array) for leaf in specs.flatten(nests)) else np
