"""Distributions of returns: projection onto atoms (C51) and the quantile Huber loss (QR-DQN)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from jaxdaw.errors import SpecError
from jaxdaw.math._arrays import AnyArray

_AnyShape = Float[AnyArray, "..."]
"""The shapes belong together in ways that the functions check themselves, in tests and outside."""


def project_distribution(supports: _AnyShape, weights: _AnyShape, target_support: _AnyShape) -> Float[Array, ...]:
    """Returns the probabilities, on evenly spaced atoms, of a distribution on any other atoms.

    Each atom's probability is shared by the two nearest target atoms, in proportion to how near they are; what lies
    outside the target support goes to its end: `sum_j weights_j * clip(1 - |clip(supports_j) - z_i| / dz, 0, 1)`.

    Args:
      supports: `[..., M]`, the atoms, in units of return.
      weights: `[..., M]`, their probabilities; the result is linear in them, and they need not sum to 1.
      target_support: `[M]`, the target atoms `z`, evenly spaced and increasing. Checked unless it is traced.

    Raises:
      SpecError: the shapes do not go together, or the target atoms are not evenly spaced.

    Source: Bellemare, Dabney & Munos 2017, eq. 7.

    >>> project_distribution(jnp.array([0.5, 9.0]), jnp.array([0.4, 0.6]), np.array([0.0, 1.0]))  # .4/2, .4/2 + .6
    Array([0.2, 0.8], dtype=float32)
    """
    shapes = jnp.shape(supports), jnp.shape(weights), jnp.shape(target_support)
    if shapes[0] != shapes[1] or len(shapes[2]) != 1 or shapes[0][-1:] != shapes[2]:
        raise SpecError(
            "a projection was given arrays that do not go together",
            expected="supports [..., M], weights [..., M], target_support [M]",
            got=", ".join(map(str, shapes)),
        )
    _check_evenly_spaced(target_support)
    atoms = jnp.asarray(target_support)
    spacing = (atoms[-1] - atoms[0]) / (atoms.shape[0] - 1)
    clipped = jnp.clip(supports, atoms[0], atoms[-1])
    distance = jnp.abs(clipped[..., None, :] - atoms[:, None]) / spacing  # [..., M target, M]
    return jnp.sum(jnp.clip(1.0 - distance, 0.0, 1.0) * jnp.asarray(weights)[..., None, :], axis=-1)


def _check_evenly_spaced(atoms: _AnyShape) -> None:
    if isinstance(atoms, Tracer):
        return
    given = np.asarray(atoms, np.float64)
    steps = np.diff(given)
    tolerance = 2.0**-21 * float(np.max(np.abs(given), initial=0.0))  # the atoms may be rounded to float32
    if len(given) < 2 or not np.all(steps > 0.0) or np.ptp(steps) > tolerance:
        raise SpecError(
            "target atoms must be two or more, increasing and evenly spaced",
            expected="numpy.linspace(minimum, maximum, num_atoms)",
            got=f"{len(given)} atoms with spacings {np.array2string(steps[:3], precision=4)}",
        )


def quantile_huber_loss(target: _AnyShape, prediction: _AnyShape, delta: float = 1.0) -> Float[Array, ...]:
    """Returns the quantile regression loss of predicted quantiles, smoothed by Huber's loss.

    The prediction `theta_i` is that of the quantile midpoint `tau_i = (i + 1/2) / N`. With `u_ij = target_j - theta_i`
    the loss is `sum_i mean_j |tau_i - [u_ij < 0]| * huber(u_ij) / delta`: the minimiser is the quantile, up to the
    smoothing within `delta`.

    Args:
      target: `[..., M]`, samples or quantiles of the target distribution, in units of return.
      prediction: `[..., N]`, in the order of the midpoints.
      delta: above 0, in units of return: where Huber's loss turns from quadratic to linear.

    Raises:
      SpecError: the leading axes differ; nothing is broadcast.

    Source: Dabney et al. 2018, eq. 9 and 10; divided by delta as in Dabney et al. 2018b (IQN), eq. 3.

    >>> quantile_huber_loss(jnp.array([2.0]), jnp.array([0.0]))  # one midpoint, 1/2: |1/2 - 0| * (2 - 1/2)
    Array(0.75, dtype=float32)
    """
    if jnp.shape(target)[:-1] != jnp.shape(prediction)[:-1]:
        raise SpecError(
            "a loss was given targets and predictions for different rows",
            expected=str(jnp.shape(prediction)[:-1]),
            got=str(jnp.shape(target)[:-1]),
        )
    count = jnp.shape(prediction)[-1]
    midpoints = (jnp.arange(count, dtype=jnp.float32) + 0.5) / count
    error = jnp.asarray(target)[..., None, :] - jnp.asarray(prediction)[..., :, None]  # [..., N, M]
    size = jnp.abs(error)
    quadratic = jnp.minimum(size, delta)
    huber = (0.5 * quadratic**2 + delta * (size - quadratic)) / delta
    weight = jnp.abs(midpoints[:, None] - jax.lax.stop_gradient(error < 0.0))
    return jnp.sum(jnp.mean(weight * huber, axis=-1), axis=-1)
