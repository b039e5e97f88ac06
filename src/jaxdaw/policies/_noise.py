"""Gaussian and Ornstein-Uhlenbeck noise around continuous actions."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.distributions import Deterministic, Joint, Normal
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.policies._base import Policy, reset_rows
from jaxdaw.policies._info import with_log_probability
from jaxdaw.policies._wrapped import WrappedPolicy
from jaxdaw.trajectories import PolicyStep, TimeStep


class _NoisyPolicy(WrappedPolicy):
    """Base class of both: draws the wrapped policy's randomness and standard normal noise."""

    def __init__(
        self,
        policy: Policy,
        policy_state_spec: Any,
        clip: bool,
        name: str | None,
        scale_to_bounds: bool,
        emit_log_probability: bool = False,
    ):
        super().__init__(
            policy,
            policy_state_spec=policy_state_spec,
            clip=clip,
            emit_log_probability=emit_log_probability,
            name=name,
        )
        for path, spec in specs.flatten_with_path(policy.action_spec):
            if not specs.is_continuous(spec):
                raise SpecError(
                    f"{self.name} adds noise to float actions only{f', not at {path}' if path else ''}",
                    expected="float32",
                    got=str(spec),
                    cause="a discrete action.",
                    fix="EpsilonGreedyPolicy(policy, epsilon)",
                )
        if policy.emit_log_probability:
            raise ConfigError(
                f"{self.name} cannot emit log-probabilities",
                expected="a policy with emit_log_probability=False",
                got="the log-probability of the action before the noise",
                fix=f"wrap a {type(policy).__name__} that was made without emit_log_probability",
            )
        self._units = specs.map_structure(lambda spec: np.float32(1.0), policy.action_spec)
        if scale_to_bounds:
            self._units = specs.map_structure(half_width, policy.action_spec)

    def draw(self, key: jax.Array, num_steps: int, batch_size: int) -> Any:
        """Returns the wrapped policy's randomness and normal noise of one unit, leading axis `num_steps`."""
        key_wrapped, key_noise = jax.random.split(key)
        leaves = specs.flatten(self._action_spec)
        keys = jax.random.split(key_noise, len(leaves))
        noise = [
            jax.random.normal(k, (num_steps, batch_size, *spec.shape), jnp.float32)
            for k, spec in zip(keys, leaves, strict=True)
        ]
        noise = specs.map_structure(lambda x, unit: x * unit, specs.pack_like(self._action_spec, noise), self._units)
        return self._wrapped.draw(key_wrapped, num_steps, batch_size), noise

    def _disturbed(self, action: Any, noise: Any) -> Any:
        return specs.map_structure(lambda leaf, x: leaf + x.astype(leaf.dtype), action, noise)

    def _clipped(self, action: Any) -> Any:
        return specs.clip_to_bounds(action, self._action_spec) if self._clip else action


class GaussianPolicy(_NoisyPolicy):
    """Adds independent normal noise to every element of every row's action, at every step.

    The wrapped policy chooses as it always does, clipping included; to disturb its mode, wrap it in `GreedyPolicy`
    first. What it reports in `info` is passed on.

    Args:
      policy: any policy over float actions.
      scale: the noise's standard deviation, 0 or more, in units of the action.
      clip: whether the disturbed action is clipped to its bounds; False where its log-probability is learned from.
      name: defaults to the class name.
      emit_log_probability: whether `info` holds the log-density of the disturbed action, before it is clipped. The
        wrapped policy's own choice must be certain, and the scale above 0.
      scale_to_bounds: whether `scale` is in units of half the width of each element's bounds instead.

    Raises:
      SpecError: an action that is not a float; bounds that are missing or infinite, with `scale_to_bounds`.
      ConfigError: a scale outside its range; a policy that emits log-probabilities: they would be those of the action
        before the noise; `emit_log_probability` around a policy that draws its action, or without noise.

    `distribution` is a `Normal` around the action where the wrapped policy's choice is certain; otherwise it is the
    wrapped policy's, without the noise.
    """

    def __init__(
        self,
        policy: Policy,
        scale: float = 1.0,
        clip: bool = True,
        name: str | None = None,
        *,
        emit_log_probability: bool = False,
        scale_to_bounds: bool = False,
    ):
        super().__init__(policy, None, clip, name, scale_to_bounds, emit_log_probability)
        self._scale = _in_range(self.name, "scale", scale, math.inf)
        if emit_log_probability and not (self._scale > 0.0 and self._is_certain(_distribution_of(policy))):
            raise ConfigError(
                f"{self.name} has no log-probability to emit",
                expected="scale > 0, around a policy that does not draw its actions",
                got=f"scale {self._scale:g}, around a {type(policy).__name__}",
                fix="GaussianPolicy(GreedyPolicy(policy), scale, emit_log_probability=True)",
            )

    def act(self, weights: Any, time_step: TimeStep, policy_state: Any, randomness: Any) -> PolicyStep:
        """Chooses an action; pure. Arguments as for `Policy.act`."""
        randomness, noise = randomness
        step = self._wrapped.act(weights, time_step, policy_state, randomness)
        action = self._disturbed(step.action, specs.map_structure(lambda x: self._scale * x, noise))
        info = step.info
        if self._emit_log_probability:
            around = specs.map_structure(self._normal, step.action, self._action_spec, self._units)
            info = with_log_probability(info, Joint(around).log_prob(action))
        return step._replace(action=self._clipped(action), info=info)

    def _distribution(self, weights: Any, time_step: TimeStep, policy_state: Any) -> PolicyStep:
        choice = self._wrapped.distribute(weights, time_step, policy_state)
        if not (self._scale > 0.0 and self._is_certain(choice.action)):
            return choice
        modes = specs.map_structure(lambda leaf: leaf.mode(), choice.action)
        if self._wrapped._clip:
            modes = specs.clip_to_bounds(modes, self._action_spec)
        return choice._replace(action=specs.map_structure(self._normal, modes, self._action_spec, self._units))

    def _normal(self, action: jax.Array, spec: specs.TensorSpec, unit: Any) -> Normal:
        return Normal(action, self._scale * unit, len(spec.shape))

    def _is_certain(self, distribution: Any) -> bool:
        if isinstance(self._wrapped, OUNoisePolicy):  # its distribution does not include its own noise
            return False
        return all(isinstance(leaf, Deterministic) for leaf in specs.flatten(distribution))


class OUNoiseState(NamedTuple):
    """What an `OUNoisePolicy` remembers between calls.

    Attributes:
      noise: a nest as the action's, float32 `[B, ...]`: what was added last, before clipping.
      wrapped: the wrapped policy's state, `[B, ...]`.
    """

    noise: Any
    wrapped: Any


class OUNoisePolicy(_NoisyPolicy):
    """Adds noise that drifts: a discrete Ornstein-Uhlenbeck process for every element of every row's action.

    `noise <- (1 - ou_damping) * noise + ou_stddev * N(0, 1)`, from 0 at the first step of each row's episode. After `k`
    steps it is correlated by `(1 - ou_damping)**k`, and its variance tends to
    `ou_stddev**2 / (1 - (1 - ou_damping)**2)`. With a damping of 1 it is the noise of `GaussianPolicy`.

    Args:
      policy: any policy over float actions.
      ou_stddev: the standard deviation of what is added to the noise at each step, 0 or more, in units of the action.
      ou_damping: in `[0, 1]`, for each step; 0 is a random walk.
      clip: whether the disturbed action is clipped to its bounds. The noise itself is not.
      name: defaults to the class name.
      scale_to_bounds: whether `ou_stddev` is in units of half the width of each element's bounds instead.

    The policy state is an `OUNoiseState`.

    Raises:
      SpecError: an action that is not a float; bounds that are missing or infinite, with `scale_to_bounds`.
      ConfigError: a number outside its range, or a policy that emits log-probabilities: they would be those of the
        action before the noise.

    `distribution` is the wrapped policy's, without the noise, which does not move then.

    Source: Lillicrap et al. 2015, "Continuous control with deep reinforcement learning".
    """

    def __init__(
        self,
        policy: Policy,
        ou_stddev: float = 1.0,
        ou_damping: float = 1.0,
        clip: bool = True,
        name: str | None = None,
        *,
        scale_to_bounds: bool = False,
    ):
        noise_spec = specs.map_structure(lambda spec: specs.TensorSpec(spec.shape, np.float32), policy.action_spec)
        super().__init__(policy, OUNoiseState(noise_spec, policy.policy_state_spec), clip, name, scale_to_bounds)
        self._stddev = _in_range(self.name, "ou_stddev", ou_stddev, math.inf)
        self._damping = _in_range(self.name, "ou_damping", ou_damping, 1.0)

    def act(self, weights: Any, time_step: TimeStep, policy_state: Any, randomness: Any) -> PolicyStep:
        """Chooses an action; pure. Arguments as for `Policy.act`."""
        randomness, normal = randomness
        step = self._wrapped.act(weights, time_step, policy_state.wrapped, randomness)
        noise = specs.map_structure(
            lambda old, new: (1.0 - self._damping) * old + self._stddev * new,
            reset_rows(policy_state.noise, time_step.is_first()),
            normal,
        )
        action = self._clipped(self._disturbed(step.action, noise))
        return step._replace(action=action, state=OUNoiseState(noise, step.state))

    def _distribution(self, weights: Any, time_step: TimeStep, policy_state: Any) -> PolicyStep:
        choice = self._wrapped.distribute(weights, time_step, policy_state.wrapped)
        noise = reset_rows(policy_state.noise, time_step.is_first())
        return choice._replace(state=OUNoiseState(noise, choice.state))


def half_width(spec: specs.TensorSpec) -> np.ndarray:
    """Returns half of the distance between the bounds of each element of a float action, float32.

    Raises:
      SpecError: bounds that are missing or infinite.
    """
    half = spec.maximum / 2 - spec.minimum / 2 if isinstance(spec, specs.BoundedTensorSpec) else np.inf
    if not np.isfinite(half).all():
        raise SpecError(
            "noise can be scaled to finite bounds only",
            expected="BoundedTensorSpec(shape, float32, minimum, maximum)",
            got=str(spec),
            fix="scale_to_bounds=False",
        )
    return np.asarray(half, np.float32)


def _distribution_of(policy: Policy) -> Any:
    """Returns the distribution over the actions of one step, with shapes in the place of arrays."""
    time_step = specs.zeros(policy.time_step_spec, (1,))
    return jax.eval_shape(policy.distribute, policy.get_weights(), time_step, policy.initial_state(1)).action


def _in_range(owner: str, name: str, value: Any, maximum: float) -> float:
    if np.ndim(value) != 0 or not 0.0 <= value <= maximum or not math.isfinite(value):
        interval = "[0, inf)" if maximum == math.inf else f"[0, {maximum:g}]"
        raise ConfigError(f"{name} of {owner} is outside its range", expected=interval, got=repr(value))
    return float(value)
