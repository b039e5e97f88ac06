"""Constraints on predicted values; an agent trains their networks together with its reward network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxdaw.errors import ConfigError
from jaxdaw.math import element_wise_squared_loss, index_with_actions
from jaxdaw.networks import Network, mean_of, require_network

Comparator = Callable[[Any, Any], Any]
"""`comparator_fn(predictions [B, A], bounds) -> bool [B, A]`: `jnp.greater`, `jnp.less_equal` ..."""


class NeuralConstraint:
    """What is feasible by the predictions of a network; a subclass says what has to hold of them.

    Handed to an agent of reward prediction among its `constraints`, the network learns to predict, for the action that
    was taken, the number that stands behind the reward in `reward`: `[..., 1 + C]` with C such constraints, in their
    order. An action is allowed if all of them are satisfied. In a row where they leave nothing that masks and other
    constraints allow, they are passed over: what a network predicts is no certainty, and in the beginning it is noise.

    Args:
      constraint_network: `network(observation, step_type) -> ([B, A], ())`, with weights of its own.
      error_loss_fn: `(labels, predictions) -> loss`, element-wise; None is the squared error.

    Raises:
      ConfigError: not a Network.
    """

    def __init__(self, constraint_network: Network, error_loss_fn: Callable[..., Any] | None = None):
        require_network("constraint_network", constraint_network)
        self._constraint_network = constraint_network
        self._error_loss_fn = element_wise_squared_loss if error_loss_fn is None else error_loss_fn

    @property
    def constraint_network(self) -> Network:
        """The network that is trained."""
        return self._constraint_network

    def is_satisfied(self, predictions: jax.Array, observation: Any) -> jax.Array:
        """Returns which actions are feasible; pure.

        Args:
          predictions: `[B, A]`, the network's.
          observation: `[B, ...]`, what the network saw.

        Returns:
          `[B, A]` bool.
        """
        raise NotImplementedError(f"{type(self).__name__} must define is_satisfied")

    def errors(self, targets: jax.Array, predictions: jax.Array) -> jax.Array:
        """Returns the loss of each prediction for the action that was taken; all are `[N]`; pure."""
        return self._error_loss_fn(targets, predictions)


class AbsoluteConstraint(NeuralConstraint):
    """Allows actions whose expected value is on the right side of a number: by default, above it.

    Args:
      constraint_network, error_loss_fn: as for `NeuralConstraint`.
      comparator_fn: compares predictions and `absolute_value`.
      absolute_value: in units of what is predicted.

    Examples:
      What costs less than 2, where the costs of actions have to be learned:

      >>> import numpy as np
      >>> from jaxdaw import networks, specs
      >>> context, action = specs.TensorSpec((2,), np.float32), specs.BoundedTensorSpec((), np.int32, 0, 2)
      >>> costs = networks.QNetwork(context, action, fc_layer_params=(16,))
      >>> constraint = AbsoluteConstraint(costs, comparator_fn=jnp.less, absolute_value=2.0)
      >>> constraint.is_satisfied(jnp.array([[1.0, 2.0, 3.0]]), None)
      Array([[ True, False, False]], dtype=bool)
    """

    def __init__(
        self,
        constraint_network: Network,
        error_loss_fn: Callable[..., Any] | None = None,
        comparator_fn: Comparator = jnp.greater,
        absolute_value: float = 0.0,
    ):
        super().__init__(constraint_network, error_loss_fn)
        self._comparator_fn, self._bound = comparator_fn, float(absolute_value)

    def is_satisfied(self, predictions: jax.Array, observation: Any) -> jax.Array:
        """Returns `comparator_fn(predictions, absolute_value)`; pure."""
        del observation
        return self._comparator_fn(predictions, self._bound)


class RelativeConstraint(NeuralConstraint):
    """Allows the baseline action, and those whose expected value compares well with `(1 - margin)` times its.

    Args:
      constraint_network, error_loss_fn: as for `NeuralConstraint`.
      comparator_fn: compares predictions and the baseline's.
      margin: the share of the baseline's value that may be missing; below 0, that has to be added.
      baseline_action_fn: `observation -> action [B]`; None is always action 0.
    """

    def __init__(
        self,
        constraint_network: Network,
        error_loss_fn: Callable[..., Any] | None = None,
        comparator_fn: Comparator = jnp.greater,
        margin: float = 0.0,
        baseline_action_fn: Callable[[Any], Any] | None = None,
    ):
        super().__init__(constraint_network, error_loss_fn)
        self._comparator_fn, self._margin = comparator_fn, float(margin)
        self._baseline_action_fn = baseline_action_fn

    def is_satisfied(self, predictions: jax.Array, observation: Any) -> jax.Array:
        """Returns `comparator_fn(predictions, (1 - margin) * baseline)`, and True for the baseline itself; pure."""
        baseline = jnp.zeros(len(predictions), jnp.int32)
        if self._baseline_action_fn is not None:
            baseline = jnp.asarray(self._baseline_action_fn(observation))
        bound = (1.0 - self._margin) * index_with_actions(predictions, baseline)
        is_baseline = jnp.arange(predictions.shape[-1]) == baseline[:, None]
        return self._comparator_fn(predictions, bound[:, None]) | is_baseline


class QuantileConstraint(AbsoluteConstraint):
    """This is AbsoluteConstraint with: a quantile in place of the expected value, learned by the pinball loss.

    Args:
      constraint_network, comparator_fn: as for `AbsoluteConstraint`.
      quantile: in `(0, 1)`: the share of outcomes below what is predicted.
      quantile_value: what the quantile is compared with.

    Raises:
      ConfigError: a quantile outside its range; not a Network.

    Source: Koenker & Bassett 1978.
    """

    def __init__(
        self,
        constraint_network: Network,
        quantile: float = 0.5,
        comparator_fn: Comparator = jnp.greater,
        quantile_value: float = 0.0,
    ):
        super().__init__(constraint_network, _pinball_loss(quantile), comparator_fn, quantile_value)


class RelativeQuantileConstraint(RelativeConstraint):
    """This is RelativeConstraint with: quantiles in place of expected values, and no margin.

    Args and errors are those of `RelativeConstraint` and `QuantileConstraint`.
    """

    def __init__(
        self,
        constraint_network: Network,
        quantile: float = 0.5,
        comparator_fn: Comparator = jnp.greater,
        baseline_action_fn: Callable[[Any], Any] | None = None,
    ):
        super().__init__(constraint_network, _pinball_loss(quantile), comparator_fn, 0.0, baseline_action_fn)


def trained_constraints(constraints: Sequence[Any]) -> tuple[NeuralConstraint, ...]:
    """Returns those that hold a network.

    Raises:
      ConfigError: two of them hold the same.
    """
    trained = tuple(constraint for constraint in constraints if isinstance(constraint, NeuralConstraint))
    if len({id(constraint.constraint_network) for constraint in trained}) < len(trained):
        raise ConfigError(
            "two constraints share a network, which would learn two things at once",
            expected="a network for each",
            got="the same object",
            fix="constraint_network.copy()",
        )
    return trained


def left_by(
    constraints: Sequence[NeuralConstraint], weights: Sequence[Any], observation: Any, step_type: Any, allowed: Any
) -> Any:
    """Returns what is allowed and satisfies all constraints; in a row without any such action, what is allowed; pure.

    Args:
      constraints: C of them.
      weights: their networks'.
      observation, step_type: what the networks see, `[B, ...]`.
      allowed: `[B, A]` bool; None for everything.
    """
    left = allowed
    for constraint, own in zip(constraints, weights, strict=True):
        output, _, _ = constraint.constraint_network.apply(own, observation, step_type)
        satisfied = constraint.is_satisfied(mean_of(output), observation)
        left = satisfied if left is None else left & satisfied
    if left is allowed:
        return allowed
    return jnp.where(jnp.any(left, axis=-1, keepdims=True), left, True if allowed is None else allowed)


def _pinball_loss(quantile: float) -> Callable[[Any, Any], jax.Array]:
    if not 0.0 < quantile < 1.0:
        raise ConfigError("quantile is outside its range", expected="(0, 1)", got=repr(quantile))

    def loss(target: Any, prediction: Any) -> jax.Array:
        error = target - prediction
        return jnp.maximum(quantile * error, (quantile - 1.0) * error)

    return loss
