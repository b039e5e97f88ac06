"""The type of arguments that are arrays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Array

AnyArray = Array | np.ndarray
"""NumPy arrays are taken wherever JAX arrays are, as `jax.numpy` does."""
