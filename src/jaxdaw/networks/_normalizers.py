"""Observation normalizers: by running statistics, or by given numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdaw import specs
from jaxdaw.errors import ConfigError, NonFiniteError, SpecError
from jaxdaw.networks._network import Network

_LIMIT = 2.0**48  # the sum of 2**31 squares below 2**96 fits float32


class _Total(nnx.Module):
    """A float32 sum with its rounding error (compensated summation), so that ten million small terms are not lost.

    Source: Knuth, The Art of Computer Programming 2, 4.2.2 (the error of a sum is itself a float).
    """

    def __init__(self, start: float, shape: tuple[int, ...]):
        self.total = nnx.BatchStat(jnp.full(shape, start, jnp.float32))
        self.carry = nnx.BatchStat(jnp.zeros(shape, jnp.float32))

    def value(self) -> jax.Array:
        return self.total.get_value()

    def distance(self, x: jax.Array) -> jax.Array:
        """Returns `x - total`, exact to the last bit that `x` has if the two are close."""
        return (x - self.total.get_value()) - self.carry.get_value()

    def add(self, term: jax.Array) -> None:
        old, term = self.total.get_value(), term + self.carry.get_value()
        new = old + term
        taken = new - old
        self.total.set_value(new)
        self.carry.set_value((old - (new - taken)) + (term - taken))


class _Normalizer(Network):
    """Base class of both running normalizers, which differ in how the statistics are updated."""

    def __init__(self, tensor_spec: Any, name: str | None):
        super().__init__(tensor_spec, (), name)
        if not specs.flatten(tensor_spec):
            raise SpecError(f"{self.name} has nothing to normalize", expected="a nest of specs", got=repr(tensor_spec))
        self.mean = nnx.List([_Total(0.0, spec.shape) for spec in specs.flatten(tensor_spec)])

    # What a subclass writes.

    def _variances(self) -> list[jax.Array]:
        raise NotImplementedError(f"{type(self).__name__} must define _variances")

    def _take_in(self, rows: list[jax.Array], counts: jax.Array) -> None:
        """Moves the statistics.

        Args:
          rows: a float32 array `[N, ...]` for each leaf, N at least 1; 0 in the rows that do not count.
          counts: bool `[N]`, which rows count.
        """
        raise NotImplementedError(f"{type(self).__name__} must define _take_in")

    # The network.

    def call(self, observation: Any, training: bool = False) -> tuple[Any, Any]:
        """Returns the normalized observation, float32, and `()`.

        Args:
          observation: `[B, ...]` or `[B, T, ...]`.
          training: True moves the statistics first. A row with an entry that is not finite, or is 2**48 or more in
            magnitude, does not count in any leaf.
        """
        if training:
            self._move(observation)
        return self.normalize(observation), ()

    # The documented interface.

    def normalize(
        self, tensor: Any, clip_value: float = 5.0, center_mean: bool = True, variance_epsilon: float = 1e-3
    ) -> Any:
        """Returns `clip((tensor - mean) / sqrt(variance + variance_epsilon), -clip_value, clip_value)`, float32.

        NaN stays NaN. Integers and booleans come out as float32 too, so that nothing is rounded away.

        Args:
          tensor: a nest of arrays with any number of outer axes, or none; extra dictionary keys are dropped.
          clip_value: in standard deviations; 0 or less does not clip.
          center_mean: False does not subtract the mean.
          variance_epsilon: above 0, in squared units of the observation.

        Raises:
          SpecError, SpecTypeError: another structure, dtype or shape.
          ConfigError: `variance_epsilon` is not above 0.
        """
        if not variance_epsilon > 0.0:
            raise ConfigError(
                f"variance_epsilon of {self.name} is outside its range",
                expected="(0, inf): elements that never change have variance 0",
                got=repr(variance_epsilon),
            )
        tensor, scaled = self._admit_tensor(tensor, "normalize"), []
        for leaf, mean, variance in zip(specs.flatten(tensor), self.mean, self._variances(), strict=True):
            x = jnp.asarray(leaf, jnp.float32)
            x = (mean.distance(x) if center_mean else x) / jnp.sqrt(variance + variance_epsilon)
            scaled.append(jnp.clip(x, -clip_value, clip_value) if clip_value > 0 else x)
        return specs.pack_like(self.input_tensor_spec, scaled)

    def update(self, tensor: Any, outer_dims: Sequence[int] = (0,)) -> None:
        """Moves the statistics by a batch, on the host; in compiled code it is `apply(..., training=True)` that does.

        Args:
          tensor: a nest of arrays; extra dictionary keys are dropped. No rows change nothing.
          outer_dims: the axes before those of the spec, all of which count: `(0,)` for `[B, ...]`, `(0, 1)` for
            `[B, T, ...]`, `()` for one observation.

        Raises:
          SpecError, SpecTypeError: another structure, dtype or shape.
          NonFiniteError: an entry that is not finite, or 2**48 or more in magnitude; nothing has moved then.
        """
        tensor = self._admit_tensor(tensor, "update")
        outer = specs.outer_shape(tensor, self.input_tensor_spec)
        if sorted(outer_dims) != list(range(len(outer))):
            raise SpecError(
                f"outer_dims of {self.name}.update are not the axes before those of the spec",
                expected=str(tuple(range(len(outer)))),
                got=str(tuple(outer_dims)),
            )
        self._refuse_what_does_not_count(tensor, len(outer))
        self._move(tensor)

    def reset(self) -> None:
        """Forgets everything: the statistics are those of a new normalizer."""
        self.set_weights(self.copy().get_weights())

    # Inside.

    def _admit_tensor(self, tensor: Any, method: str) -> Any:
        spec, what = self.input_tensor_spec, f"tensor given to {self.name}.{method}"
        tensor = specs.prune_extra_keys(spec, tensor)
        specs.assert_same_structure(spec, tensor, what=what)
        ranks = [np.ndim(x) - len(s.shape) for x, s in zip(specs.flatten(tensor), specs.flatten(spec), strict=True)]
        specs.check(tensor, spec, max(*ranks, 0), what=what, check_bounds=False)
        return tensor

    def _refuse_what_does_not_count(self, tensor: Any, num_outer: int) -> None:
        for path, leaf in specs.flatten_with_path(tensor):
            rows = _as_rows(leaf, np.shape(leaf)[num_outer:])
            faulty = np.flatnonzero(~np.asarray(_counts(rows)))
            if faulty.size:
                raise NonFiniteError(
                    f"{self.name}.update was given {faulty.size} of {len(rows)} rows that do not count"
                    f"{f' at {path}' if path else ''} (first row {faulty[0]})",
                    expected="finite values below 2**48 in magnitude",
                    got=str(np.asarray(rows[faulty[0]]).ravel()[:3]),
                    cause="a fault in the environment: one such row would poison the statistics for good.",
                    fix="numpy.isfinite(observation)",
                )

    def _move(self, observation: Any) -> None:
        leaves = zip(specs.flatten(observation), specs.flatten(self.input_tensor_spec), strict=True)
        rows = [_as_rows(jax.lax.stop_gradient(leaf), spec.shape) for leaf, spec in leaves]
        if len(rows[0]) == 0:
            return
        counts = jnp.all(jnp.stack([_counts(leaf) for leaf in rows]), axis=0)
        self._take_in([jnp.where(_beside(counts, leaf), leaf, 0.0) for leaf in rows], counts)


class StreamingNormalizer(_Normalizer):
    """Normalizes by the mean and variance of everything it has seen, each row weighted alike.

    `normalizer(observation)` and `normalize(observation)` give `(x - mean) / sqrt(variance + 1e-3)`, clipped to 5
    standard deviations. The statistics are variables that training does not move: they lie in `Weights.rest`, and go
    where weights go. Eagerly `update` moves them; purely it is `apply`, whose third result holds the new ones:

    ```python
    normalized, _, rest = normalizer.apply(weights, observation, training=True)
    weights = weights._replace(rest=rest)
    ```

    Before the first row the mean is 0 and the variance 1. Batches may come in any sizes and order, and sums are kept
    with what rounding would lose.

    Args:
      tensor_spec: the nest of specs of one observation, without outer axes; any numbers.
      name: defaults to the class name.

    Raises:
      SpecError: an empty nest.

    Source: Chan, Golub & LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".

    >>> normalizer = StreamingNormalizer(specs.TensorSpec((2,), "float32"))
    >>> normalizer.update(jnp.array([[1.0, 2.0], [3.0, 6.0]]))  # mean [2, 4], variance [1, 4]
    >>> normalizer.normalize(jnp.array([100.0, 6.0]))  # 98 / 1.0005 is beyond 5; 2 / sqrt(4.001)
    Array([5.       , 0.9998751], dtype=float32)
    """

    def __init__(self, tensor_spec: Any, name: str | None = None):
        super().__init__(tensor_spec, name)
        self.m2 = nnx.List([_Total(0.0, spec.shape) for spec in specs.flatten(tensor_spec)])
        self.count = _Total(0.0, ())

    def _variances(self) -> list[jax.Array]:
        count = self.count.value()
        return [jnp.where(count > 0, m2.value() / jnp.maximum(count, 1.0), 1.0) for m2 in self.m2]

    def _take_in(self, rows: list[jax.Array], counts: jax.Array) -> None:
        old_count, num_rows = self.count.value(), jnp.sum(counts).astype(jnp.float32)
        self.count.add(num_rows)
        share = num_rows / jnp.maximum(self.count.value(), 1.0)
        for leaf, mean, m2 in zip(rows, self.mean, self.m2, strict=True):
            # Differences to one row are summed: their squares do not cancel as squares of large values would.
            origin = leaf[jnp.argmax(counts)]
            inside = _beside(counts, leaf)
            distance = jnp.where(inside, leaf - origin, 0.0)
            center = jnp.sum(distance, axis=0) / jnp.maximum(num_rows, 1.0)
            m2.add(jnp.sum(jnp.where(inside, jnp.square(distance - center), 0.0), axis=0))
            far, near = origin - mean.value(), center - mean.carry.get_value()
            m2.add(jnp.square(far + near) * (share * old_count))
            mean.add(far * share)
            mean.add(near * share)


class EMANormalizer(_Normalizer):
    """Normalizes by exponential moving averages of mean and variance: what is long past is forgotten.

    Used as `StreamingNormalizer`. One batch moves the mean by `rate * (batch mean - mean)` and the variance by
    `rate * (v - variance)`, where `v` is the batch's mean squared distance from the mean before the batch. The mean
    starts at 0 and the variance at 1, so that `1 / rate` batches pass before they mean much.

    Args:
      tensor_spec: the nest of specs of one observation, without outer axes; any numbers.
      norm_update_rate: in `(0, 1]`, for each batch.
      name: defaults to the class name.

    Raises:
      SpecError: an empty nest.
      ConfigError: a rate outside its range.

    >>> normalizer = EMANormalizer(specs.TensorSpec((), "float32"), norm_update_rate=0.5)
    >>> normalizer.update(jnp.array([1.0, 3.0]))  # mean 0 -> 1; v = (1 + 9) / 2, variance 1 -> 3
    >>> normalizer.normalize(jnp.array([4.0]))  # 3 / sqrt(3.001)
    Array([1.7317623], dtype=float32)
    """

    def __init__(self, tensor_spec: Any, norm_update_rate: float = 0.001, name: str | None = None):
        super().__init__(tensor_spec, name)
        if not 0.0 < norm_update_rate <= 1.0:
            raise ConfigError(
                f"norm_update_rate of {self.name} is outside its range", expected="(0, 1]", got=repr(norm_update_rate)
            )
        self.variance = nnx.List([_Total(1.0, spec.shape) for spec in specs.flatten(tensor_spec)])
        self._rate = float(norm_update_rate)

    def _variances(self) -> list[jax.Array]:
        return [variance.value() for variance in self.variance]

    def _take_in(self, rows: list[jax.Array], counts: jax.Array) -> None:
        num_rows = jnp.sum(counts).astype(jnp.float32)
        rate = jnp.where(num_rows > 0, self._rate, 0.0)
        for leaf, mean, variance in zip(rows, self.mean, self.variance, strict=True):
            distance = jnp.where(_beside(counts, leaf), mean.distance(leaf), 0.0)
            average, square = (jnp.sum(x, axis=0) / jnp.maximum(num_rows, 1.0) for x in (distance, distance**2))
            mean.add(rate * average)
            variance.add(rate * variance.distance(square))


class FixedNormalizer(Network):
    """Normalizes one float array by numbers that are given: `clip((x - mean) / scale, -clip_value, clip_value)`.

    It has no variables. Its numbers are constructor arguments, so that copies, populations of seeds and saved policies
    have them, and training leaves them alone. It is made to be one of an encoder's `preprocessing_layers`.

    Args:
      tensor_spec: the float spec of one observation, without outer axes.
      mean: a number, or numbers of the spec's shape as nested lists.
      scale: likewise, above 0: standard deviations.
      clip_value: in units of scale; 0 or less does not clip.
      name: defaults to the class name.

    Raises:
      SpecError: integers, or numbers of another shape.
      ConfigError: numbers that are not finite, or a scale that is not above 0.

    >>> normalizer = FixedNormalizer(specs.TensorSpec((2,), "float32"), mean=[1.0, 0.0], scale=[0.5, 1e4])
    >>> normalizer(jnp.array([[2.0, -5e3]]))[0]
    Array([[ 2. , -0.5]], dtype=float32)
    """

    def __init__(
        self, tensor_spec: specs.TensorSpec, mean: Any, scale: Any, clip_value: float = 10.0, name: str | None = None
    ):
        super().__init__(tensor_spec, (), name)
        if not specs.is_continuous(tensor_spec):
            raise SpecError(f"{self.name} normalizes floats", expected="a float spec", got=str(tensor_spec))
        self._mean = _numbers(self.name, "mean", mean, tensor_spec.shape)
        self._scale = _numbers(self.name, "scale", scale, tensor_spec.shape)
        if not all(number > 0 for number in self._scale):
            raise ConfigError(f"scale of {self.name} is outside its range", expected="(0, inf)", got=repr(scale)[:60])
        self._clip_value = float(clip_value)

    def call(self, observation: Any) -> tuple[jax.Array, Any]:
        """Returns the normalized observation, float32, and `()`."""
        spec = self.input_tensor_spec
        mean, scale = (
            np.asarray(numbers, np.float32).reshape(spec.shape if len(numbers) > 1 else ())
            for numbers in (self._mean, self._scale)
        )
        x = (jnp.asarray(observation, jnp.float32) - mean) / scale
        return jnp.clip(x, -self._clip_value, self._clip_value) if self._clip_value > 0 else x, ()


def _numbers(network: str, name: str, given: Any, shape: tuple[int, ...]) -> tuple[float, ...]:
    """Returns numbers as a tuple, which nnx treats as static."""
    array = np.asarray(given, np.float64)
    if array.shape not in ((), shape):
        raise SpecError(
            f"{name} of {network} has another shape than the spec", expected=str(shape), got=str(array.shape)
        )
    if not np.isfinite(array).all():
        raise ConfigError(f"{name} of {network} is not finite", expected="finite numbers", got=repr(given)[:60])
    return tuple(array.ravel().tolist())


def _as_rows(leaf: Any, shape: tuple[int, ...]) -> jax.Array:
    """Returns `[N, *shape]` in float32, with all outer axes in one."""
    outer = np.shape(leaf)[: np.ndim(leaf) - len(shape)]
    return jnp.asarray(leaf, jnp.float32).reshape(math.prod(outer), *shape)


def _counts(rows: jax.Array) -> jax.Array:
    """Returns for each row whether all its entries can be summed; NaN cannot."""
    return jnp.all(jnp.abs(rows) < _LIMIT, axis=tuple(range(1, rows.ndim)))


def _beside(flags: jax.Array, rows: jax.Array) -> jax.Array:
    """Returns `[N]` with the rank of `rows`."""
    return flags.reshape(-1, *(1,) * (rows.ndim - 1))
