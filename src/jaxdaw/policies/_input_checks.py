"""Host-side checks of what a policy is given: time steps, bare observations and seeds."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.trajectories import StepType, TimeStep


class InputChecks:
    """Checks time steps and bare observations; shapes and dtypes that passed once are not checked again.

    Args:
      name: of the policy, in messages.
      time_step_spec: a TimeStep of specs.
    """

    def __init__(self, name: str, time_step_spec: TimeStep):
        self._name = name
        self._spec = time_step_spec
        self._checked: set[Any] = set()

    def admit(self, time_step: Any) -> tuple[TimeStep, bool]:
        """Returns the time step `[B, ...]` with exactly the declared leaves, and whether it came batched."""
        if not isinstance(time_step, TimeStep):
            time_step = self.from_observation(time_step)
        signature = _signature(time_step)
        if signature not in self._checked:
            time_step = specs.prune_extra_keys(self._spec, time_step)
            rank = np.ndim(time_step.step_type)
            if rank > 1:
                raise SpecError(
                    f"{self._name} acts on one step or on a batch of steps",
                    expected="observation [B, ...]",
                    got=f"{rank} outer axes",
                    cause="a batch of sequences.",
                    fix="act on one frame at a time, with the policy state of the call before",
                )
            specs.check(time_step, self._spec, rank, what=f"time step given to {self._name}", check_bounds=False)
            time_step = specs.in_native_order(time_step)
            if _signature(time_step) == signature:
                self._checked.add(signature)
        batched = np.ndim(time_step.step_type) == 1
        if not batched:
            time_step = specs.map_structure(lambda x: x[None], specs.map_structure(_as_array, time_step))
        return time_step, batched

    def from_observation(self, observation: Any) -> TimeStep:
        """Returns the time step in the middle of an episode that a bare observation stands for."""
        spec = self._spec.observation
        if isinstance(spec, specs.TensorSpec) and isinstance(observation, list):
            observation = np.asarray(observation)  # a list of numbers is one array here, not a nest
        observation = specs.map_structure(_as_array, observation)
        observation = specs.prune_extra_keys(spec, observation)
        specs.assert_same_structure(spec, observation, what=f"observation given to {self._name}")
        observation = specs.map_structure(_cast_safely, observation, spec)
        if isinstance(spec, specs.TensorSpec):
            refuse_other_shapes(self._name, observation, spec)
        outer = specs.outer_shape(observation, spec)
        return in_the_middle(observation, outer, self._spec)


def in_the_middle(observation: Any, outer: tuple[int, ...], spec: TimeStep) -> TimeStep:
    """Returns the time step `[*outer, ...]` in the middle of an episode that a bare observation stands for."""
    xp = jnp if any(isinstance(leaf, jax.Array) for leaf in specs.flatten(observation)) else np
    return TimeStep(
        step_type=xp.full(outer, StepType.MID, np.int32),
        reward=xp.zeros(outer + spec.reward.shape, spec.reward.dtype),
        discount=xp.ones(outer, np.float32),
        observation=observation,
    )


def refuse_other_shapes(name: str, observation: Any, spec: specs.TensorSpec) -> None:
    """Raises SpecError unless an array is one observation or a batch of them."""
    shape = observation.shape
    if shape != spec.shape and (not shape or shape[1:] != spec.shape):
        batch = f"(N, {', '.join(map(str, spec.shape))})" if spec.shape else "(N,)"
        raise SpecError(
            f"{name} expects one observation or a batch of them",
            expected=f"{spec.shape} or {batch}",
            got=str(shape),
            cause="an extra axis, or one row's axes in another order.",
            fix=f"observation.reshape({spec.shape})",
        )


def as_seed(seed: int | jax.Array) -> Any:
    """Returns a seed as the compiled call takes it; a key is one."""
    if isinstance(seed, jax.Array):
        return seed
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise ConfigError("a seed is out of range", expected="an integer in 0..2**32 - 1, or a key", got=repr(seed))
    return np.uint32(seed)


def _signature(time_step: TimeStep) -> Any:
    a, b, c, d = time_step
    if type(a) is np.ndarray and type(b) is np.ndarray and type(c) is np.ndarray and type(d) is np.ndarray:
        # The usual case, four times faster.
        return a.dtype, a.shape, b.dtype, b.shape, c.dtype, c.shape, d.dtype, d.shape
    leaves, structure = jax.tree.flatten(time_step)
    return structure, tuple(
        [(getattr(x, "dtype", None), getattr(x, "ndim", None), getattr(x, "shape", None)) for x in leaves]
    )


def _as_array(value: Any) -> Any:
    return value if isinstance(value, jax.Array) else np.asarray(value)


def _cast_safely(value: Any, spec: specs.TensorSpec) -> Any:
    """Casts Python numbers, float64 and same-kind integers to the spec; anything else is left for `check` to refuse."""
    if not (np.can_cast(value.dtype, spec.dtype, "same_kind") or _is_integral(value, spec)):
        return value
    return value.astype(specs.device_dtype(spec) if isinstance(value, jax.Array) else spec.dtype)


def _is_integral(value: Any, spec: specs.TensorSpec) -> bool:
    return np.issubdtype(value.dtype, np.integer) and np.issubdtype(spec.dtype, np.floating)
