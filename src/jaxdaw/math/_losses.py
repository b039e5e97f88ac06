"""Element-wise losses and the value of a taken action."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Real

from jaxdaw.errors import SpecError
from jaxdaw.math._arrays import AnyArray

_AnyShape = Real[AnyArray, "..."]
"""Targets and predictions have the same shape, which the losses check themselves, in tests and outside."""

_CERTAIN = 2.0**-23  # the spacing of float32 below 2: 1 - 2**-23 is still a float32


def _require_same_shape(target: _AnyShape, prediction: _AnyShape) -> None:
    if jnp.shape(target) != jnp.shape(prediction):
        raise SpecError(
            "a loss was given targets and predictions of two shapes",
            expected=str(jnp.shape(prediction)),
            got=str(jnp.shape(target)),
            cause="a trailing axis of size 1; the two would broadcast to a matrix, one row for every pair.",
            fix="target = target.reshape(prediction.shape)",
        )


def element_wise_huber_loss(target: _AnyShape, prediction: _AnyShape) -> Real[Array, "*shape"]:
    """Returns Huber's loss with delta 1 for every element: quadratic within one unit of error, linear beyond.

    Args:
      target: any shape, in units of return.
      prediction: the same shape and units.

    Raises:
      SpecError: the shapes differ; nothing is broadcast.

    Source: Huber 1964; the default of Mnih et al. 2015.

    >>> element_wise_huber_loss(jnp.array([0.5, 3.0]), jnp.zeros(2))  # .5 * .25, 3 - .5
    Array([0.125, 2.5  ], dtype=float32)
    """
    _require_same_shape(target, prediction)
    error = jnp.abs(target - prediction)
    quadratic = jnp.minimum(error, 1.0)
    return 0.5 * quadratic**2 + (error - quadratic)


def element_wise_squared_loss(target: _AnyShape, prediction: _AnyShape) -> Real[Array, "*shape"]:
    """Returns the squared error of every element, without a factor of one half.

    Raises:
      SpecError: the shapes differ; nothing is broadcast.

    >>> element_wise_squared_loss(jnp.array([3.0]), jnp.array([1.0]))
    Array([4.], dtype=float32)
    """
    _require_same_shape(target, prediction)
    return jnp.square(target - prediction)


def element_wise_absolute_loss(target: _AnyShape, prediction: _AnyShape) -> Real[Array, "*shape"]:
    """Returns the absolute error of every element, whose minimiser is the median.

    Raises:
      SpecError: the shapes differ; nothing is broadcast.

    >>> element_wise_absolute_loss(jnp.array([3.0]), jnp.array([1.0]))
    Array([2.], dtype=float32)
    """
    _require_same_shape(target, prediction)
    return jnp.abs(target - prediction)


def element_wise_log_loss(target: _AnyShape, prediction: _AnyShape) -> Real[Array, "*shape"]:
    """Returns the negative log-likelihood of every element under a predicted probability, in nats.

    For rewards that are 0 or 1, and for shares between them. A network gives probabilities if its last activation is a
    sigmoid: `QNetwork(..., q_layer_activation_fn=jax.nn.sigmoid)`.

    Within 2**-23 of certain and wrong, and beyond, the logarithm goes on as its tangent: being certain and wrong costs
    `23 log 2 + 1` instead of infinity, and the gradient of 2**23 pulls the prediction back. (A prediction that is
    clipped has no gradient there: an action that a few early failures made certain to fail would never be learned
    again. TF-Agents' `log_loss` adds 1e-7 within the logarithm, which is NaN a little outside `[0, 1]`.)

    Args:
      target: any shape, in `[0, 1]`.
      prediction: the same shape, in `[0, 1]`.

    Raises:
      SpecError: the shapes differ; nothing is broadcast.

    >>> element_wise_log_loss(jnp.array([1.0, 0.0]), jnp.array([0.5, 0.75]))  # log 2, log 4
    Array([0.6931472, 1.3862944], dtype=float32)
    """
    _require_same_shape(target, prediction)
    most = 1.0 - _CERTAIN
    if_one = jnp.maximum(_CERTAIN - prediction, 0.0) / _CERTAIN - jnp.log(jnp.maximum(prediction, _CERTAIN))
    if_zero = jnp.maximum(prediction - most, 0.0) / _CERTAIN - jnp.log1p(-jnp.minimum(prediction, most))
    return jnp.asarray(target) * if_one + (1.0 - jnp.asarray(target)) * if_zero


def index_with_actions(values: Real[AnyArray, "*rows A"], actions: Integer[AnyArray, "*rows"]) -> Float[Array, "*rows"]:
    """Returns the entry of each row that its action names.

    Written as a sum over a one-hot row: for the few actions of a Q-network that is cheaper than a gather, and its
    gradient is a product instead of a scatter.

    Args:
      values: one for each action.
      actions: in `0..A-1`. An action outside gives NaN: nothing is clamped or wrapped.

    >>> index_with_actions(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([1, 0]))
    Array([2., 3.], dtype=float32)
    """
    one_hot = actions[..., None] == jnp.arange(values.shape[-1])
    picked = jnp.sum(jnp.where(one_hot, values, 0.0), axis=-1)
    return jnp.where((actions >= 0) & (actions < values.shape[-1]), picked, jnp.nan)
