"""`sample`: random values that match a spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.specs._nest import flatten, pack_like
from jaxdaw.specs._spec import BoundedTensorSpec, TensorSpec, device_dtype, extremes, is_continuous


def sample(spec: Any, key: jax.Array, outer_dims: Sequence[int] = ()) -> Any:
    """Returns a nest of arrays `[*outer_dims, *shape]`, drawn uniformly and independently, element by element.

    Integers lie in `[minimum, maximum]`, both included. Floats lie in `[minimum, maximum)`, up to rounding, where a
    missing, infinite or huge bound counts as an eighth of the dtype's extreme: sums of a few samples stay finite.
    A bool is a fair coin. Pure: works under `jit`, `vmap` and `scan`.

    Args:
      spec: a nest of specs.
      key: a typed or legacy PRNG key, consumed; each leaf gets its own split.
      outer_dims: batch axes.

    Source: the ranges are TF-Agents' `sample_spec_nest`; unlike there, bounds of different shapes may be mixed.

    >>> spec = BoundedTensorSpec((2,), "int32", 0, [0, 5])
    >>> sample(spec, jax.random.key(0), (3,)).shape
    (3, 2)
    """
    leaves = flatten(spec)
    keys = jax.random.split(key, len(leaves))
    return pack_like(spec, [_sample_leaf(*pair, tuple(outer_dims)) for pair in zip(leaves, keys, strict=True)])


def _sample_leaf(spec: TensorSpec, key: jax.Array, outer_dims: tuple[int, ...]) -> jax.Array:
    dtype, shape = device_dtype(spec), outer_dims + spec.shape
    bounds = (spec.minimum, spec.maximum) if isinstance(spec, BoundedTensorSpec) else extremes(dtype)
    low, high = (np.array(bound, ndmin=len(shape)) for bound in bounds)  # so that ranks agree below
    if is_continuous(spec):
        return _sample_float(key, shape, dtype, low, high)
    return _sample_integer(key, shape, dtype, low, high)


def _sample_float(
    key: jax.Array, shape: tuple[int, ...], dtype: np.dtype, low: np.ndarray, high: np.ndarray
) -> jax.Array:
    least, greatest = (np.float64(extreme) for extreme in extremes(dtype))
    low, high = (np.clip(bound.astype(np.float64), least, greatest) for bound in (low, high))
    inner_low, inner_high = np.maximum(low, least / 8), np.minimum(high, greatest / 8)
    is_far_out = inner_low > inner_high  # both bounds are on one side: their difference cannot overflow
    low, high = np.where(is_far_out, low, inner_low).astype(dtype), np.where(is_far_out, high, inner_high).astype(dtype)
    draw = jax.random.uniform(key, shape, dtype, low, high)
    return jnp.clip(draw, low, high)  # high - low is rounded, so the sum may pass a bound


def _sample_integer(
    key: jax.Array, shape: tuple[int, ...], dtype: np.dtype, low: np.ndarray, high: np.ndarray
) -> jax.Array:
    """Returns integers (or bools) in `[low, high]`.

    Unsigned arithmetic wraps, so neither the span of a full range nor the shift by a negative minimum overflows; at
    least 32 bits keep the bias of reducing random bits to a span far below what a test could see.
    """
    signed, unsigned = (np.int64, np.uint64) if dtype.itemsize == 8 else (np.int32, np.uint32)
    low, high = (bound.astype(unsigned) for bound in (low, high))
    count = np.add(np.subtract(high, low), 1, dtype=unsigned)  # wraps to 0 for the full range
    offset = jax.random.randint(key, shape, 0, np.maximum(count, 1), unsigned)
    if np.any(count == 0):
        offset = jnp.where(count == 0, jax.random.bits(key, shape, unsigned), offset)
    draw = offset + low
    return (draw if dtype.kind in "bu" else jax.lax.bitcast_convert_type(draw, signed)).astype(dtype)
