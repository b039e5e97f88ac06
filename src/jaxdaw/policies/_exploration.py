"""GreedyPolicy, EpsilonGreedyPolicy and BoltzmannPolicy, and the base class of scheduled exploration."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.distributions import Boltzmann, Deterministic, EpsilonGreedy
from jaxdaw.errors import ConfigError
from jaxdaw.policies._base import Policy
from jaxdaw.policies._info import BanditPolicyType, with_explored
from jaxdaw.policies._q import draw_uniforms, sample_one_leaf
from jaxdaw.policies._wrapped import WrappedPolicy
from jaxdaw.trajectories import PolicyStep, TimeStep

Schedule = float | Callable[[], Any] | Callable[[Any], Any]
"""A number, a function without arguments, or a function of the number of environment steps (an optax schedule)."""


_UNUSED = np.zeros((), np.uint32)


class GreedyPolicy(WrappedPolicy):
    """Takes the mode of the wrapped policy's distribution; ties go to the lowest index.

    Args:
      policy: any policy whose distributions have a mode.
      name: defaults to the class name.
    """

    draws = False

    def __init__(self, policy: Policy, name: str | None = None):
        super().__init__(policy, clip=True, emit_log_probability=policy.emit_log_probability, name=name)

    def greedy(self) -> Policy:
        """Returns this policy."""
        return self

    def draw(self, key: jax.Array, num_steps: int, batch_size: int) -> Any:
        """Returns a placeholder `[num_steps]`: nothing is random here."""
        return jnp.zeros(num_steps)

    def _next_seed(self) -> Any:
        return _UNUSED  # an array, which JAX converts faster than a NumPy scalar

    def _sample(self, distribution: Any, randomness: Any) -> Any:
        return specs.map_structure(lambda leaf: leaf.mode(), distribution)

    def _log_prob(self, distribution: Any, action: Any) -> jax.Array:
        return jnp.zeros(specs.flatten(distribution)[0].batch_shape)

    def _distribution(self, weights: Any, time_step: TimeStep, policy_state: Any) -> PolicyStep:
        choice = self._wrapped.distribute(weights, time_step, policy_state)
        modes = specs.map_structure(
            lambda d, spec: Deterministic(d.mode(), len(spec.shape)), choice.action, self._action_spec
        )
        return choice._replace(action=modes)


class ScheduledPolicy(WrappedPolicy):
    """A wrapped policy with one number that may follow a schedule."""

    changing_attributes = ("step",)
    _kind = BanditPolicyType.UNKNOWN
    """The policy type that is reported for a row whose action is not the greedy one."""

    def __init__(
        self, policy: Policy, schedule: Schedule, range_text: str, in_range: Callable[[float], bool], name: str | None
    ):
        super().__init__(policy, clip=False, emit_log_probability=policy.emit_log_probability, name=name)
        self.step = 0
        self._schedule = schedule if callable(schedule) else None
        read: Any = schedule
        self._value: Callable[[Any], Any] | None = None  # None: a function without arguments, called on the host
        if not callable(schedule):
            if schedule is None or not np.ndim(schedule) == 0 or not in_range(float(schedule)):
                raise ConfigError(
                    f"{self.name} was given a number outside its range", expected=range_text, got=repr(schedule)
                )
            number = np.float32(schedule)  # a JAX scalar would be a compiled program of its own in every call
            self._value = lambda step: number
        elif inspect.signature(schedule).parameters:
            self._value = lambda step: jnp.asarray(read(step), jnp.float32)
        self._read = read

    def number_now(self) -> float:
        """Returns what the schedule gives now."""
        return float(ScheduledPolicy.weights_now(self, ())[1])

    def arguments_now(self) -> dict[str, Any]:
        """Returns all arguments of the constructor by name, a schedule as the number that it gives now."""
        arguments = super().arguments_now()
        return {
            name: self.number_now() if value is self._schedule is not None else value
            for name, value in arguments.items()
        }

    def _explore(self, choice: Any, number: Any) -> Any:
        """Returns the distribution over the same values and mask that explores by `number`; pure."""
        raise NotImplementedError(f"{type(self).__name__} must define _explore")

    def _distribution(self, weights: Any, time_step: TimeStep, policy_state: Any) -> PolicyStep:
        inner, number = weights
        choice = self._wrapped.distribute(inner, time_step, policy_state)
        explored = specs.map_structure(lambda leaf: self._explore(leaf, number), choice.action)
        return choice._replace(action=explored)

    def get_weights(self) -> Any:
        """Returns the wrapped policy's weights and today's number; `step` says what day it is."""
        return self.weights_now(self._wrapped.get_weights())

    def weights_now(self, inner: Any) -> Any:
        """Returns the wrapped policy's weights with today's number."""
        value = self._read() if self._value is None else self._value(self.step)
        if np.ndim(value) != 0:
            raise ConfigError(
                f"the schedule of {self.name} must return one number", expected="()", got=str(np.shape(value))
            )
        return inner, np.float32(value)

    def exploration_at(self, step: int) -> float:
        """Returns the number as it is after `step` environment steps."""
        return float(self.weights_at((), step)[1])

    def weights_at(self, inner: Any, step: Any) -> Any:
        """Returns the wrapped policy's weights with the number as it is after `step` environment steps; pure.

        Raises:
          ConfigError: the number comes from a function without arguments, which a compiled loop cannot ask again.
        """
        if self._value is None:
            raise ConfigError(
                f"{self.name} follows a function without arguments, which a compiled loop cannot ask again",
                expected="a number, or a schedule over environment steps",
                got="a function without arguments",
                fix="optax.linear_schedule(1.0, 0.05, 10_000)",
            )
        return inner, self._value(step)

    def draw(self, key: jax.Array, num_steps: int, batch_size: int) -> Any:
        """Returns uniforms `[num_steps, B]`: one number chooses whether to explore, and what."""
        return draw_uniforms(key, num_steps, batch_size)

    def _sample(self, distribution: Any, randomness: Any) -> Any:
        return sample_one_leaf(distribution, randomness)

    def _report(self, time_step: TimeStep, choice: PolicyStep, action: Any) -> Any:
        info = super()._report(time_step, choice, action)
        return with_explored(info, specs.flatten(action)[0] == specs.flatten(choice.action)[0].mode(), self._kind)


class EpsilonGreedyPolicy(ScheduledPolicy):
    """With probability epsilon a uniform allowed action (the greedy one included), else the greedy one, row by row.

    Its distribution is closed-form, and the log-probability it emits is that of the action: `log(1 - eps + eps / K)`
    for the greedy action and `log(eps / K)` for each of the other K - 1 allowed ones. (TF-Agents emits that of the
    branch.)

    Args:
      policy: a policy over one integer action with values as logits: a QPolicy or a GreedyRewardPredictionPolicy.
      epsilon: in `[0, 1]`: a number, a function without arguments, or a schedule over environment steps. `fit` and the
        drivers set the step; by hand, set `policy.step`.
      name: defaults to the class name.

    Raises:
      ConfigError: a number outside `[0, 1]`.
    """

    _kind = BanditPolicyType.UNIFORM

    def __init__(self, policy: Policy, epsilon: Schedule, name: str | None = None):
        super().__init__(policy, epsilon, "epsilon in [0, 1]", lambda x: 0.0 <= x <= 1.0, name)

    def _explore(self, choice: Any, number: Any) -> EpsilonGreedy:
        return EpsilonGreedy(choice.logits, choice.mask, choice.minimum, choice.dtype, number)


class BoltzmannPolicy(ScheduledPolicy):
    """Samples from the softmax of the wrapped policy's logits divided by a temperature.

    Args:
      policy: a policy over one integer action with values as logits: a QPolicy or a GreedyRewardPredictionPolicy.
      temperature: above 0, in units of the values: a number, a function without arguments, or a schedule.
      name: defaults to the class name.

    Raises:
      ConfigError: a temperature of 0 or less.
    """

    _kind = BanditPolicyType.BOLTZMANN

    def __init__(self, policy: Policy, temperature: Schedule = 1.0, name: str | None = None):
        super().__init__(policy, temperature, "temperature in (0, inf)", lambda x: 0.0 < x < np.inf, name)

    def _explore(self, choice: Any, number: Any) -> Boltzmann:
        return Boltzmann(choice.logits, choice.mask, choice.minimum, choice.dtype, number)
