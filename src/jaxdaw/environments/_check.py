"""check_environment: runs an environment with random actions and lists every broken rule with its fix."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium.vector import VectorEnv

from jaxdaw import specs
from jaxdaw.environments import _faults
from jaxdaw.environments._base import Environment, JaxEnvironment
from jaxdaw.environments._check_single import examine_single
from jaxdaw.environments._faults import Fault
from jaxdaw.environments._gymnasium import GymnasiumEnvironment
from jaxdaw.environments._jax_to_host import JaxToHost
from jaxdaw.environments._report import Report, changed_later, copied, never_ends, not_reproducible, same, surroundings
from jaxdaw.errors import ConfigError, EnvironmentFault, SpecError
from jaxdaw.trajectories import StepType, TimeStep

Checkable = gymnasium.Env | VectorEnv | Environment | JaxEnvironment


def check_environment(environment: Checkable | Callable[[], Checkable], *, steps: int = 1000, seed: int = 0) -> None:
    """Plays random actions, and raises if the environment breaks its contract.

    Notes (it prints, it is not deterministic, its episodes do not end, its bounds do not hold, ...) are a warning.

    Args:
      environment: of any kind, or a function that makes one: then closing is checked too.
      steps: random actions.
      seed: of the actions and of the environment.

    Raises:
      EnvironmentFault: lists all faults, each with its fix.

    >>> check_environment(lambda: gymnasium.make("CartPole-v1"))
    """
    found = find_faults(environment, steps=steps, seed=seed)
    faults = [text for text in found if not text.startswith("note: ")]
    if faults:
        many = "1 way" if len(faults) == 1 else f"{len(faults)} ways"
        raise EnvironmentFault("\n\n".join([f"the environment breaks its contract in {many}", *found]))
    if found:
        warnings.warn("\n\n".join(["the environment is sound, with notes", *found]), stacklevel=2)


def find_faults(environment: Checkable | Callable[[], Checkable], *, steps: int = 1000, seed: int = 0) -> list[str]:
    """Returns one text for each thing that is wrong, faults first; notes begin with `note: `.

    Each thing is told once, with how often it was seen and where first. Arguments are those of `check_environment`.
    """
    report = Report()
    made = not isinstance(environment, Checkable)
    if made and not callable(environment):
        _refuse(environment)
    with surroundings(report):
        if made:
            try:
                environment = environment()  # type: ignore[operator]  # it is callable: see above
            except Exception as error:  # whatever the function raises
                report.fault(_faults.raised(error, "the function that makes the environment"), "before any step")
                return report.texts()
        _examine(environment, report, steps, seed)
        if made:
            _examine_close(environment, report)
    return report.texts()


def _examine(environment: Any, report: Report, steps: int, seed: int) -> None:
    match environment:
        case gymnasium.Env():
            examine_single(environment, report, steps, seed)
        case VectorEnv():
            try:
                environment = GymnasiumEnvironment(environment)
            except (EnvironmentFault, SpecError) as error:
                report.tell(error)
                return
            _examine_host(environment, report, steps, seed)
        case Environment():
            _examine_host(environment, report, steps, seed)
        case JaxEnvironment():
            _examine_pure(environment, report, steps, seed)
        case _:
            _refuse(environment)


def _examine_close(environment: Any, report: Report) -> None:
    close = getattr(environment, "close", None)
    if close is None:
        return
    try:
        close()
    except Exception as error:  # the environment's code may raise anything
        report.fault(_faults.raised(error, f"{type(environment).__name__}.close()"), "after the check")


def _examine_host(environment: Environment, report: Report, steps: int, seed: int) -> None:
    name, rows = type(environment).__name__, environment.batch_size
    calls = max(steps // rows, 2)
    drawn = specs.map_structure(_moderate, environment.action_spec)
    actions = jax.device_get(specs.sample(drawn, jax.random.key(seed), (calls, rows)))
    streams = []
    try:
        for _ in range(2):
            stream = [environment.reset(seed=seed)]
            kept = [copied(stream[0])]
            for call in range(calls):
                stream.append(environment.step(specs.map_structure(lambda leaf, at=call: leaf[at], actions)))
                kept.append(copied(stream[-1]))
            streams.append((stream, kept))
    except Exception as error:  # the environment's code may raise anything
        if isinstance(error, (EnvironmentFault, SpecError)):
            report.tell(error)
        else:
            report.fault(_faults.raised(error, name), "under random actions")
        return
    (stream, kept), (_, again) = streams
    for call, (before, time_step) in enumerate(zip([None, *kept], kept, strict=False)):
        _examine_time_step(environment, report, time_step, before, f"at call {call} of {name}")
    if any(not same(returned, copy) for returned, copy in zip(stream, kept, strict=True)):
        report.fault(changed_later(name), "seen at the end")
    for call, (one, other) in enumerate(zip(kept, again, strict=True)):
        if not same(one, other):
            report.note(not_reproducible(name, call), f"seed {seed}")
            break
    if not any((time_step.step_type == StepType.LAST).any() for time_step in kept):
        report.note(never_ends(name, calls), "under random actions")


def _moderate(spec: specs.TensorSpec) -> specs.TensorSpec:
    """Returns the spec with +-1 for every infinite bound: actions of 1e37 would test nothing."""
    if not specs.is_continuous(spec):
        return spec
    low, high = (spec.minimum, spec.maximum) if isinstance(spec, specs.BoundedTensorSpec) else (-np.inf, np.inf)
    low, high = (
        np.where(np.isinf(low), np.minimum(-1.0, high), low),
        np.where(np.isinf(high), np.maximum(1.0, low), high),
    )
    return specs.BoundedTensorSpec(spec.shape, spec.dtype, low, high, spec.name)


def _examine_time_step(
    environment: Environment, report: Report, step: TimeStep, before: TimeStep | None, place: str
) -> None:
    try:
        specs.check(step, environment.time_step_spec(), (environment.batch_size,), what="a time step")
    except SpecError as error:
        report.fault(Fault.of(error), place)
        return
    first, last = step.step_type == StepType.FIRST, step.step_type == StepType.LAST
    opening = np.ones_like(first) if before is None else before.step_type == StepType.LAST
    laws = (
        ("FIRST comes after LAST and at reset, and nowhere else", first == opening),
        ("step_type is FIRST, MID or LAST", np.isin(step.step_type, [int(kind) for kind in StepType])),
        ("reward is 0 at FIRST", ~first | (step.reward == 0)),
        ("discount is 1 at FIRST", ~first | (step.discount == 1)),
        ("discount is above 0 where the episode goes on", last | (step.discount > 0)),
        ("reward is finite", np.isfinite(step.reward)),
    )
    for law, holds in laws:
        if not holds.all():
            row = int(np.argmin(holds))
            kind, reward, discount = step.step_type[row], step.reward[row], step.discount[row]
            got = f"step_type {kind}, reward {reward}, discount {discount} in row {row}"
            report.fault(Fault(f"a law is broken: {law}", got=got, fix="see the table of Environment"), place)
    for (path, leaf), array in zip(
        specs.flatten_with_path(environment.observation_spec), specs.flatten(step.observation), strict=True
    ):
        if leaf.dtype.kind == "f" and not np.isfinite(array).all():
            report.fault(_faults.not_finite(path, array, type(environment).__name__), place)


def _examine_pure(environment: JaxEnvironment, report: Report, steps: int, seed: int) -> None:
    name = type(environment).__name__
    try:
        hash(environment)
    except TypeError as error:
        fix = "@dataclasses.dataclass(frozen=True)"
        what = f"{name} cannot be hashed, so no compiled loop can be kept for it"
        report.fault(Fault(what, got=str(error), fix=fix), "at construction")
    try:
        state, first = jax.eval_shape(environment.init, jax.eval_shape(lambda: jax.random.key(0)))
        action = specs.to_shape_dtype_struct(environment.action_spec)
        following, time_step = jax.eval_shape(environment.step, state, action)
    except Exception as error:  # the environment's code may raise anything
        cause = "Python control flow on traced values, or NumPy in place of jax.numpy."
        report.fault(_faults.raised(error, name)._replace(cause=cause), "under jax.jit")
        return
    sound = not report.fault(_changed("state", state, following, name), "in step")
    sound &= not report.fault(_changed("time step", first, time_step, name), "between init and step")
    expected = specs.map_structure(lambda leaf: specs.to_shape_dtype_struct(leaf), environment.time_step_spec())
    sound &= not report.fault(_changed("time step", expected, time_step, name), "against time_step_spec()")
    if sound:
        _examine_host(JaxToHost(environment, num_envs=4, seed=seed), report, steps, seed)


def _changed(what: str, before: Any, after: Any, name: str) -> Fault | None:
    """Returns the fault of a pytree whose structure, shapes or dtypes are not what they were."""
    was, now = _layout(before), _layout(after)
    for path in [*was, *now]:
        expected, got = was.get(path, "nothing"), now.get(path, "nothing")
        if expected != got:
            fix = "jnp.asarray(x, dtype) where it is made"
            return Fault(f"the {what} of {name} changes at {path}", expected, got, fix=fix)
    return None


def _layout(tree: Any) -> dict[str, str]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): f"{leaf.dtype} {leaf.shape}" for path, leaf in leaves}


def _refuse(environment: Any) -> None:
    raise ConfigError(
        "check_environment was given something else than an environment",
        expected="gymnasium.Env, VectorEnv, Environment, JaxEnvironment, or a function that makes one",
        got=f"{type(environment).__module__}.{type(environment).__name__}",
        cause="an id, or a class that does not inherit from gymnasium.Env.",
        fix="check_environment(lambda: gymnasium.make(env_id))",
    )
