"""Normal, and TanhNormal: a normal squashed into bounds by tanh."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from jaxdaw.distributions._base import STATIC, check_rows, register

_INSIDE = 2.0**-24
"""How far inside of `[-1, 1]` a bound counts: 1 - 2**-24 is the float32 next to 1."""

_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
"""Gauss-Hermite quadrature: the mean of `f(x)` over a standard normal is `sum(weights * f(nodes)) / sqrt(2 pi)`."""


class _OverNormal:
    """Base class: a location and a scale for every element, and sums over the axes of one value."""

    loc: Any
    scale: Any
    event_ndims: int

    def _broadcast(self) -> None:
        dtype = jnp.promote_types(jnp.result_type(self.loc, self.scale), jnp.float32)
        loc, scale = jnp.broadcast_arrays(jnp.asarray(self.loc, dtype), jnp.asarray(self.scale, dtype))
        self.__dict__.update(loc=loc, scale=scale)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The axes in front of a value's own."""
        shape = jnp.shape(self.loc)
        return shape[: len(shape) - self.event_ndims]

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The axes of one value."""
        return jnp.shape(self.loc)[len(self.batch_shape) :]

    def _sum(self, x: Float[Array, "*shape"]) -> Float[Array, "*rows"]:
        return jnp.sum(x, axis=tuple(range(-self.event_ndims, 0)))

    def _noise(self, key: PRNGKeyArray, sample_shape: tuple[int, ...]) -> Float[Array, "*shape"]:
        return jax.random.normal(key, (*sample_shape, *self.loc.shape), self.loc.dtype)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Shaped[Array, "*shape"]:
        """Returns `sample_shape + [..., *event]` values, those of a `TanhNormal` within the bounds."""
        return self.from_noise(self._noise(key, sample_shape))[0]

    def sample_and_log_prob(
        self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()
    ) -> tuple[Shaped[Array, "*shape"], Float[Array, "*rows"]]:
        """Returns what `sample` returns, and the log-density of each value, `sample_shape + [...]`."""
        return self.from_noise(self._noise(key, sample_shape))

    def from_noise(self, noise: Any) -> tuple[Shaped[Array, "*shape"], Float[Array, "*rows"]]:
        """Returns the values that standard normal noise `[*sample_shape, ..., *event]` becomes, and their log-density.

        Gradients flow through both into `loc` and `scale`: the reparametrization of Kingma & Welling 2014.

        Raises:
          SpecError: another shape than the rows'.
        """
        check_rows("noise", jnp.shape(noise), self.loc.shape)
        x = self.loc + self.scale * noise
        standard = -0.5 * jnp.square(noise) - jnp.log(self.scale) - 0.5 * math.log(2 * math.pi)
        return self._value(x), self._sum(standard - self._log_slope(x))

    def _value(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Returns the values that draws of the normal become."""
        raise NotImplementedError

    def _log_slope(self, x: Float[Array, "*shape"]) -> Any:
        """Returns the log of the derivative of `_value`."""
        raise NotImplementedError

    def _log_density(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return -0.5 * jnp.square((x - self.loc) / self.scale) - jnp.log(self.scale) - 0.5 * math.log(2 * math.pi)

    def _entropies(self) -> Float[Array, "*shape"]:
        return jnp.log(self.scale) + 0.5 * math.log(2 * math.pi * math.e)


@register
@dataclasses.dataclass(frozen=True, eq=False)
class Normal(_OverNormal):
    """Independent normals, element by element.

    Attributes:
      loc: the means, `[..., *event]`.
      scale: the standard deviations, above 0; a shape that broadcasts.
      event_ndims: how many of the last axes belong to one value.

    >>> Normal(jnp.zeros(2), 1.0, event_ndims=1).log_prob(jnp.zeros(2))  # -log(2 pi)
    Array(-1.837877, dtype=float32)
    """

    loc: Any
    scale: Any
    event_ndims: int = dataclasses.field(default=0, metadata=STATIC)

    def __post_init__(self) -> None:
        self._broadcast()

    def _value(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return x

    def _log_slope(self, x: Float[Array, "*shape"]) -> float:
        del x
        return 0.0

    def mode(self) -> Shaped[Array, "*shape"]:
        """Returns the means."""
        return self.loc

    def log_prob(self, value: Any) -> Float[Array, "*rows"]:
        """Returns the log-density, summed over the event axes, `[...]`.

        Raises:
          SpecError: another shape than the rows'.
        """
        check_rows("value", jnp.shape(value), self.loc.shape)
        return self._sum(self._log_density(jnp.asarray(value)))

    def entropy(self) -> Float[Array, "*rows"]:
        """Returns the differential entropy in nats, summed over the event axes, `[...]`."""
        return self._sum(self._entropies())


@register
@dataclasses.dataclass(frozen=True, eq=False)
class TanhNormal(_OverNormal):
    """`(maximum + minimum) / 2 + (maximum - minimum) / 2 * tanh(x)` of a normal x, element by element.

    Log-densities are exact up to the bounds; nothing is clamped. Those of its own samples are made of x, before `tanh`
    loses it: `2 (log 2 - x - softplus(-2 x))` is the log of tanh's slope at any x. Those of given values are made of
    the distances to the bounds, not of `1 - tanh(x)**2`, which is 0 from `abs(x) = 9` on. A value exactly on a bound,
    where rounding has put it, counts as the float32 next to it inside of `[-1, 1]`: as `1 - 2**-24`.

    Attributes:
      loc, scale: of x, `[..., *event]`.
      minimum, maximum: the bounds; shapes that broadcast.
      event_ndims: how many of the last axes belong to one value.

    Source: Haarnoja et al. 2018, appendix C.

    >>> TanhNormal(0.0, 1.0, minimum=-2.0, maximum=2.0).log_prob(0.0)  # the normal's, and -log(2) for the width
    Array(-1.6120857, dtype=float32)
    """

    loc: Any
    scale: Any
    minimum: Any = -1.0
    maximum: Any = 1.0
    event_ndims: int = dataclasses.field(default=0, metadata=STATIC)

    def __post_init__(self) -> None:
        self._broadcast()
        for name in ("minimum", "maximum"):
            bound = jnp.asarray(getattr(self, name), self.loc.dtype)
            self.__dict__[name] = jnp.broadcast_to(bound, self.loc.shape)

    @property
    def _half(self) -> Float[Array, "*shape"]:
        return (self.maximum - self.minimum) / 2

    def _value(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        squashed = (self.maximum + self.minimum) / 2 + self._half * jnp.tanh(x)
        return jnp.clip(squashed, self.minimum, self.maximum)

    def _log_slope(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.log(self._half) + _log_slope_of_tanh(x)

    def mode(self) -> Shaped[Array, "*shape"]:
        """Returns the squashed means: the medians; the density itself may peak at the bounds."""
        return self._value(self.loc)

    def log_prob(self, value: Any) -> Float[Array, "*rows"]:
        """Returns the log-density, summed over the event axes, `[...]`; -inf outside the bounds.

        Raises:
          SpecError: another shape than the rows'.
        """
        check_rows("value", jnp.shape(value), self.loc.shape)
        value = jnp.asarray(value, self.loc.dtype)
        distances = (value - self.minimum) / self._half, (self.maximum - value) / self._half
        above, below = (jnp.log(jnp.where(distance > 0.0, distance, _INSIDE)) for distance in distances)
        density = self._log_density((above - below) / 2) - jnp.log(self._half) - above - below
        inside = (value >= self.minimum) & (value <= self.maximum)
        return self._sum(jnp.where(inside, density, -jnp.inf))

    def entropy(self) -> Float[Array, "*rows"]:
        """Returns the differential entropy in nats, summed over the event axes, `[...]`.

        There is no closed form: the mean of the log of tanh's slope is a Gauss-Hermite sum of 40 terms, exact to about
        1e-3 nats for a scale up to 3.
        """
        nodes = jnp.asarray(_NODES, self.loc.dtype)
        log_slope = _log_slope_of_tanh(self.loc[..., None] + self.scale[..., None] * nodes)
        mean = log_slope @ jnp.asarray(_NODE_WEIGHTS / math.sqrt(2 * math.pi), self.loc.dtype)
        return self._sum(self._entropies() + jnp.log(self._half) + mean)


def _log_slope_of_tanh(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Returns `log(1 - tanh(x)**2)`, exact for every x; it is even, and computed for positive x."""
    x = jnp.abs(x)
    return 2.0 * (math.log(2.0) - x - jnp.log1p(jnp.exp(-2.0 * x)))
