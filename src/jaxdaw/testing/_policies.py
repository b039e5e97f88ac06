"""Conformance suite for policies, however they choose actions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.monitoring
import numpy as np

from jaxdaw import specs
from jaxdaw.distributions import Joint
from jaxdaw.errors import SpecError
from jaxdaw.policies import BanditPolicyType, Policy, PolicyInfo
from jaxdaw.trajectories import StepType, TimeStep

Make = Callable[[], Policy]
_MANY = 512


def emits_what_its_specs_promise(make: Make) -> None:
    """Actions, memory and info fit `action_spec`, `policy_state_spec` and `info_spec`, in a batch and alone."""
    policy = make()
    for rows in (1, 3):
        step = policy.action(_time_step(policy, rows), policy.get_initial_state(rows), seed=0)
        _check_action(policy, step.action, 1, "action")
        specs.check(step.state, policy.policy_state_spec, 1, what="policy state")
        specs.check(step.info, policy.info_spec, 1, what="info")
        for leaf in jax.tree.leaves(step):
            assert isinstance(leaf, np.ndarray), f"NumPy in gave {type(leaf).__name__} out"
    alone = policy.action(jax.tree.map(lambda x: x[0], _time_step(policy, 1)), policy.get_initial_state(), seed=0)
    _check_action(policy, alone.action, 0, "action of a bare observation")


def _check_action(policy: Policy, action: Any, outer_rank: int, what: str) -> None:
    """Floats may lie outside of their bounds, since environments clip them; everything else must fit the spec."""
    specs.check(specs.clip_to_bounds(action, policy.action_spec), policy.action_spec, outer_rank, what=what)


def seed_decides(make: Make) -> None:
    """The same seed gives the same actions; a policy that draws gives others without one, call after call."""
    policy = make()
    time_step, state = _time_step(policy, _MANY), policy.get_initial_state(_MANY)
    first, again = (policy.action(time_step, state, seed=7).action for _ in range(2))
    assert _equal(first, again), "one seed gave two results"
    if _draws(policy):
        assert not _equal(first, policy.action(time_step, state, seed=8).action), "two seeds gave one result"
        free = [policy.action(time_step, state).action for _ in range(2)]
        assert not _equal(*free), "the key is constant: two calls without a seed gave one result"


def rows_draw_for_themselves(make: Make) -> None:
    """Equal rows of a stochastic policy do not all get the same action: each row draws for itself."""
    policy = make()
    if _draws(policy):
        time_step = jax.tree.map(lambda x: np.repeat(x, _MANY, 0), _time_step(policy, 1))
        action = policy.action(time_step, policy.get_initial_state(_MANY), seed=0).action
        assert any(len(np.unique(leaf, axis=0)) > 1 for leaf in jax.tree.leaves(action)), "all rows share one draw"


def actions_come_from_the_distribution(make: Make) -> None:
    """`action` draws what `distribution` shows: chi-square over 512 rows times 8 calls, for discrete actions."""
    policy = make()
    one = _time_step(policy, 1)
    distribution = policy.distribution(one, policy.get_initial_state(1)).action
    for path, part in specs.flatten_with_path(jax.tree.map(lambda x: x, distribution, is_leaf=_has_probs)):
        if not _has_probs(part):
            continue
        minimum, probs = int(part.minimum), np.asarray(part.probs, np.float64)[0]
        time_step = jax.tree.map(lambda x: np.repeat(x, _MANY, 0), one)
        state = policy.get_initial_state(_MANY)
        draws = np.concatenate(
            [dict(specs.flatten_with_path(policy.action(time_step, state, seed=s).action))[path] for s in range(8)]
        )
        counts, expected = np.bincount(draws - minimum, minlength=len(probs)), probs * len(draws)
        assert np.all(counts[probs == 0] == 0), "an action of probability 0 was taken"
        statistic = ((counts - expected)[probs > 0] ** 2 / expected[probs > 0]).sum()
        assert statistic < 20 + 3 * len(probs), f"frequencies {counts / len(draws)} of probabilities {probs}"


def log_probability_is_that_of_the_distribution(make: Make) -> None:
    """What `emit_log_probability` records is the log-probability under the whole policy, not under a branch of it."""
    policy = make()
    if not policy.emit_log_probability:
        return
    time_step, state = _time_step(policy, 64), policy.get_initial_state(64)
    step = policy.action(time_step, state, seed=3)
    distribution = Joint(policy.distribution(time_step, state).action)
    emitted = step.info["log_probability"] if isinstance(step.info, dict) else step.info.log_probability
    np.testing.assert_allclose(emitted, distribution.log_prob(step.action), rtol=1e-4, atol=1e-5)


def information_is_about_the_action_taken(make: Make) -> None:
    """A recorded policy type is GREEDY where the action is the mode, and recorded features are the taken arm's."""
    policy = make()
    time_step, state = _time_step(policy, 64), policy.get_initial_state(64)
    step = policy.action(time_step, state, seed=5)
    info = step.info if isinstance(step.info, PolicyInfo) else PolicyInfo()
    if not _is_empty(info.bandit_policy_type):
        mode = np.asarray(policy.distribution(time_step, state).action.mode())
        is_greedy = info.bandit_policy_type[:, 0] == BanditPolicyType.GREEDY
        assert np.array_equal(is_greedy, step.action == mode), "bandit_policy_type is not that of the action"
    if not _is_empty(info.chosen_arm_features):
        taken = jax.tree.map(lambda arms: arms[np.arange(64), step.action], time_step.observation["per_arm"])
        assert _equal(info.chosen_arm_features, taken), "chosen_arm_features are not those of the action"


def observations_that_do_not_fit_are_refused(make: Make) -> None:
    """Another shape of observation raises SpecError."""
    policy = make()
    time_step = _time_step(policy, 2)
    wrong = time_step._replace(observation=jax.tree.map(lambda x: np.stack([x, x], -1), time_step.observation))
    try:
        policy.action(wrong, policy.get_initial_state(2), seed=0)
    except SpecError:
        return
    raise AssertionError("an observation of another shape was accepted")


def memory_starts_anew_with_the_episode(make: Make) -> None:
    """A row at FIRST acts as from the initial state, whatever state it was given."""
    policy = make()
    if not jax.tree.leaves(policy.policy_state_spec):
        return
    first = _time_step(policy, 4)._replace(step_type=np.full(4, StepType.FIRST, np.int32))
    stale = jax.tree.map(lambda x: np.asarray(x) + 1, policy.get_initial_state(4))
    fresh = policy.action(first, policy.get_initial_state(4), seed=0)
    assert _equal(fresh, policy.action(first, stale, seed=0)), "memory of the last episode leaks into the next"
    middle = first._replace(step_type=np.full(4, StepType.MID, np.int32))
    assert not _equal(fresh.state, policy.action(middle, stale, seed=0).state), "memory is reset inside an episode"


def nothing_recompiles(make: Make) -> None:
    """A second call of the same shapes does not recompile."""
    policy = make()
    first, *others = [_time_step(policy, 2, seed) for seed in range(4)]
    state = policy.get_initial_state(2)
    policy.action(first, state, seed=0)
    with compilations() as compiled:
        for seed, time_step in enumerate(others, 1):
            policy.action(time_step, state, seed=seed)
    assert not compiled, f"action was compiled anew {len(compiled)} times"


POLICY_CHECKS: tuple[Callable[[Make], None], ...] = (
    emits_what_its_specs_promise,
    seed_decides,
    rows_draw_for_themselves,
    actions_come_from_the_distribution,
    log_probability_is_that_of_the_distribution,
    information_is_about_the_action_taken,
    observations_that_do_not_fit_are_refused,
    memory_starts_anew_with_the_episode,
    nothing_recompiles,
)
"""Each takes a function that makes a policy, anew at every call. Checks of what a policy does not do pass."""


@contextlib.contextmanager
def compilations() -> Iterator[list[float]]:
    """Collects the seconds of each compilation by JAX, also of one that is found in the persistent cache."""
    seconds: list[float] = []

    def listen(event: str, duration_secs: float, **_: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            seconds.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seconds
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def _time_step(policy: Policy, rows: int, seed: int = 0) -> TimeStep:
    observation = specs.sample(policy.time_step_spec.observation, jax.random.key(seed), (rows,))
    return TimeStep(
        step_type=np.full(rows, StepType.MID, np.int32),
        reward=np.zeros(rows, np.float32),
        discount=np.ones(rows, np.float32),
        observation=jax.tree.map(np.asarray, observation),
    )


def _is_empty(field: Any) -> bool:
    return isinstance(field, tuple) and not field


def _has_probs(value: Any) -> bool:
    return hasattr(value, "probs")


def _draws(policy: Policy) -> bool:
    """Returns whether the policy's actions are random somewhere."""
    distribution = Joint(policy.distribution(_time_step(policy, 64), policy.get_initial_state(64)).action)
    return bool(np.any(np.abs(np.asarray(distribution.entropy())) > 1e-6))  # a narrow density has a negative one


def _equal(left: Any, right: Any) -> bool:
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, left, right)))
