"""Distributions over a finite number of actions, which differ only in how values become probabilities."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_LOWEST = float(np.finfo(np.float32).min)


def invalid_action(dtype: Any) -> int:
    """Returns the sentinel emitted for a row without a valid action: the least integer, or the greatest if unsigned."""
    limits = np.iinfo(jax.dtypes.canonicalize_dtype(dtype))
    return int(limits.min if limits.min < 0 else limits.max)


@dataclasses.dataclass(frozen=True)
class _Finite:
    """A distribution over `minimum..minimum + A - 1`.

    Attributes:
      logits: `[..., A]`, values of the actions; what a subclass makes of them is its business.
      mask: `[..., A]` bool or 0/1, what is allowed; None allows everything.
      minimum: the action that index 0 stands for.
      dtype: integer dtype of the actions; 64 bits become 32 unless `jax_enable_x64`.

    A row that allows nothing, or holds NaN among its allowed values, is not valid: its probabilities are all 0, and
    `sample` and `mode` give the sentinel `invalid_action(dtype)`, never an action.
    """

    logits: Any
    mask: Any = None
    minimum: int = 0
    dtype: Any = np.int32

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return jnp.shape(self.logits)[:-1]

    @property
    def event_shape(self) -> tuple[int, ...]:
        """`()`: an action is one integer."""
        return ()

    @property
    def allowed(self) -> jax.Array:
        """Which actions are allowed, `[..., A]` bool."""
        if self.mask is None:
            return jnp.ones(jnp.shape(self.logits), bool)
        return jnp.broadcast_to(jnp.asarray(self.mask) != 0, jnp.shape(self.logits))

    @property
    def is_valid(self) -> jax.Array:
        """Whether a row allows some action and its allowed values are numbers, `[...]` bool."""
        if self.mask is None:
            return ~jnp.any(jnp.isnan(self.logits), axis=-1)
        return jnp.any(self.allowed, axis=-1) & ~jnp.any(jnp.isnan(self.logits) & self.allowed, axis=-1)

    @property
    def log_probs(self) -> jax.Array:
        """The log-probability of every action, `[..., A]`; -inf where not allowed."""
        usable = self.allowed & self.is_valid[..., None]
        # Finite stand-ins keep NaN out of the gradient of the other entries.
        return jnp.where(usable, self._log_probs(jnp.where(usable, self.logits, _LOWEST)), -jnp.inf)

    @property
    def probs(self) -> jax.Array:
        """The probability of every action, `[..., A]`; exactly 0 where not allowed."""
        return jnp.exp(self.log_probs)

    def _log_probs(self, values: jax.Array) -> jax.Array:
        raise NotImplementedError

    def _greedy(self) -> jax.Array:
        values = self.logits if self.mask is None else jnp.where(self.allowed, self.logits, -jnp.inf)
        return jnp.argmax(values, axis=-1)

    def mode(self) -> jax.Array:
        """Returns the likeliest action, `[...]`; ties go to the lowest."""
        return self._emit(self._greedy())

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Returns `sample_shape + [...]` actions, independent in every row."""
        return self.sample_from_uniform(jax.random.uniform(key, (*sample_shape, *self.batch_shape)))

    def sample_from_uniform(self, uniform: jax.Array) -> jax.Array:
        """Returns the actions that float32 numbers in `[0, 1)` select by the inverse of the distribution function.

        For callers that draw random numbers in bulk. An action of probability 0 is never selected.

        Args:
          uniform: `[...]`, with any leading axes in front of the batch.
        """
        probs = self.probs
        cumulative = jnp.cumsum(probs, axis=-1)
        index = jnp.sum(cumulative <= uniform[..., None] * cumulative[..., -1:], axis=-1)
        last = probs.shape[-1] - 1 - jnp.argmax(probs[..., ::-1] > 0, axis=-1)  # rounding may point beyond it
        return self._emit(jnp.minimum(index, last))

    def log_prob(self, value: Any) -> jax.Array:
        """Returns the log-probability of actions `[...]`; -inf for those outside the range."""
        index = jnp.asarray(value) - self.minimum
        chosen = index[..., None] == jnp.arange(jnp.shape(self.logits)[-1])
        picked = jnp.sum(jnp.where(chosen, self.log_probs, 0.0), axis=-1)
        return jnp.where(jnp.any(chosen, axis=-1), picked, -jnp.inf)

    def entropy(self) -> jax.Array:
        """Returns the entropy in nats, `[...]`; 0 for a row that is not valid."""
        log_probs = self.log_probs
        finite = log_probs > -jnp.inf
        safe = jnp.where(finite, log_probs, 0.0)
        return -jnp.sum(jnp.where(finite, jnp.exp(safe) * safe, 0.0), axis=-1)

    def _emit(self, index: jax.Array) -> jax.Array:
        dtype = jax.dtypes.canonicalize_dtype(self.dtype)
        return jnp.where(self.is_valid, (index + self.minimum).astype(dtype), jnp.asarray(invalid_action(dtype), dtype))


def _pytree(*static: str):
    def register(cls: Any) -> Any:
        cls = dataclasses.dataclass(frozen=True)(cls)
        names = [field.name for field in dataclasses.fields(cls)]
        return jax.tree_util.register_dataclass(cls, [n for n in names if n not in static], list(static))

    return register


@_pytree("minimum", "dtype")
class Categorical(_Finite):
    """Softmax of the logits over the allowed actions.

    >>> Categorical(jnp.array([0.0, 0.0, 5.0]), mask=jnp.array([True, True, False])).probs
    Array([0.5, 0.5, 0. ], dtype=float32)
    """

    def _log_probs(self, values: jax.Array) -> jax.Array:
        return jax.nn.log_softmax(values, axis=-1)


@_pytree("minimum", "dtype")
class Greedy(_Finite):
    """All probability on the largest allowed value; ties go to the lowest index.

    >>> Greedy(jnp.array([1.0, 3.0, 3.0])).probs
    Array([0., 1., 0.], dtype=float32)
    """

    def _log_probs(self, values: jax.Array) -> jax.Array:
        best = self._greedy()[..., None] == jnp.arange(values.shape[-1])
        return jnp.where(best, jnp.float32(0.0), -jnp.inf)

    def sample_from_uniform(self, uniform: jax.Array) -> jax.Array:
        """Returns the mode, whatever the numbers."""
        return jnp.broadcast_to(self.mode(), jnp.shape(uniform))


@_pytree("minimum", "dtype")
class Boltzmann(_Finite):
    """Softmax of the values over a temperature, over the allowed actions.

    Attributes:
      temperature: `[]` or `[...]`, above 0, in units of the values. Towards 0 the largest value takes all; equal ones
        share.
    """

    temperature: Any = 1.0

    def _log_probs(self, values: jax.Array) -> jax.Array:
        temperature = jnp.broadcast_to(jnp.asarray(self.temperature, jnp.float32), values.shape[:-1])[..., None]
        below = values - jnp.max(
            values, axis=-1, keepdims=True
        )  # at most 0, so that a small temperature cannot overflow
        return jax.nn.log_softmax(jnp.maximum(below / temperature, _LOWEST), axis=-1)


@_pytree("minimum", "dtype")
class EpsilonGreedy(_Finite):
    """With probability epsilon uniform over the K allowed actions, the greedy one included; else the greedy one.

    Closed-form: `1 - eps + eps / K` for the greedy action, `eps / K` for the other allowed ones.

    Attributes:
      epsilon: `[]` or `[...]`, in `[0, 1]`.

    >>> EpsilonGreedy(jnp.array([1.0, 3.0, 9.0]), jnp.array([True, True, False]), epsilon=0.5).probs.round(3)
    Array([0.25, 0.75, 0.  ], dtype=float32)
    """

    epsilon: Any = 0.0

    def _epsilon(self) -> jax.Array:
        return jnp.broadcast_to(jnp.asarray(self.epsilon, jnp.float32), self.batch_shape)

    def _log_probs(self, values: jax.Array) -> jax.Array:
        best = self._greedy()[..., None] == jnp.arange(values.shape[-1])
        share = self._epsilon()[..., None] / jnp.maximum(jnp.sum(self.allowed, axis=-1, keepdims=True), 1)
        probs = jnp.where(best, 1.0 - self._epsilon()[..., None] + share, share)
        return jnp.where(probs > 0.0, jnp.log(jnp.where(probs > 0.0, probs, 1.0)), -jnp.inf)

    def sample_from_uniform(self, uniform: jax.Array) -> jax.Array:
        """Returns actions from one number each: below epsilon it explores, and says what.

        Args:
          uniform: `[...]` float32 in `[0, 1)`, with any leading axes in front of the batch.
        """
        epsilon, actions = self._epsilon(), jnp.shape(self.logits)[-1]
        explore = uniform < epsilon
        position = uniform / jnp.where(epsilon > 0.0, epsilon, 1.0)  # in [0, 1) where it explores
        if self.mask is None:
            chosen = jnp.minimum((position * actions).astype(jnp.int32), actions - 1)
        else:
            rank = jnp.cumsum(self.allowed, axis=-1)  # of each allowed action, from 1
            count = rank[..., -1]
            wanted = jnp.minimum((position * count).astype(jnp.int32), count - 1)
            chosen = jnp.sum(rank <= wanted[..., None], axis=-1)
        return self._emit(jnp.where(explore, chosen, self._greedy()))
