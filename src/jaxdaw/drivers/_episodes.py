"""A number of whole episodes, and what they were worth."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.environments import Environment, JaxEnvironment
from jaxdaw.errors import EnvironmentFault
from jaxdaw.policies import Policy
from jaxdaw.trajectories import StepType


class Episodes(NamedTuple):
    """Whole episodes, in the order in which they were assigned.

    Attributes:
      returns: `[n]` float64, undiscounted.
      lengths: `[n]` int64, actions.
    """

    returns: np.ndarray
    lengths: np.ndarray


def run_episodes(
    policy: Policy,
    environment: Environment | JaxEnvironment,
    episodes: int,
    seed: int = 0,
    weights: Any = None,
    max_steps: int = 1_000_000,
) -> Episodes:
    """Runs whole episodes.

    Episode i belongs to row `i mod B` from the start. Taking the first `episodes` that end would prefer short ones.

    Args:
      policy: how to act.
      environment: a host environment, whose rows run side by side; or a pure one, of which `episodes` copies run at
        once.
      episodes: how many.
      seed: of the environment and of the policy's choices.
      weights: the policy's; None takes those it has. Passing new ones does not recompile.
      max_steps: actions in each row, after which an episode counts as never ending.

    Raises:
      EnvironmentFault: an episode did not end within `max_steps`.
    """
    weights = policy.get_weights() if weights is None else weights
    if isinstance(environment, JaxEnvironment):
        return _run_pure(policy, environment, episodes, seed, weights, max_steps)
    return _run_host(policy, environment, episodes, seed, weights, max_steps)


def _run_host(
    policy: Policy, environment: Environment, episodes: int, seed: int, weights: Any, max_steps: int
) -> Episodes:
    rows = environment.batch_size
    quota = np.array([len(range(row, episodes, rows)) for row in range(rows)])
    returns, lengths = np.zeros(episodes), np.zeros(episodes, np.int64)
    ended = np.zeros(rows, np.int64)
    time_step, state = environment.reset(seed=seed), policy.initial_state(rows)
    seeds = np.random.default_rng(seed)
    for _ in range(max_steps):
        choice = policy.compiled_act(weights, time_step, state, seeds.integers(2**32, dtype=np.uint32))
        following = environment.step(jax.device_get(choice.action))
        live = (ended < quota) & (time_step.step_type != StepType.LAST)
        slot = np.minimum(np.arange(rows) + ended * rows, episodes - 1)[live]
        returns[slot] += following.reward[live]
        lengths[slot] += 1
        ended += live & (following.step_type == StepType.LAST)
        if (ended >= quota).all():
            return Episodes(returns, lengths)
        time_step, state = following, choice.state
    raise _endless(max_steps)


def _run_pure(
    policy: Policy, environment: JaxEnvironment, episodes: int, seed: int, weights: Any, max_steps: int
) -> Episodes:
    returns, lengths, ended = _compiled_episodes(policy, environment, episodes, max_steps)(weights, np.uint32(seed))
    if not np.asarray(ended).all():
        raise _endless(max_steps)
    return Episodes(np.asarray(returns, np.float64), np.asarray(lengths, np.int64))


def episodes_of(
    policy: Policy, environment: JaxEnvironment, episodes: int, max_steps: int, weights: Any, key: Any
) -> Any:
    """Returns `(returns, lengths, ended)`, each `[episodes]`, of as many copies of a pure environment; pure."""
    key_environment, key_policy = jax.random.split(key)
    states, first = jax.vmap(environment.init)(jax.random.split(key_environment, episodes))

    def going(loop: Any) -> Any:
        step, _, _, _, _, _, ended = loop
        return (step < max_steps) & ~jnp.all(ended)

    def advance(loop: Any) -> Any:
        step, states, time_step, memory, returns, lengths, ended = loop
        draw = policy.draw(jax.random.fold_in(key_policy, step), 1, episodes)
        choice = policy.act(weights, time_step, memory, jax.tree.map(lambda x: x[0], draw))
        states, following = jax.vmap(environment.step)(states, choice.action)
        returns += jnp.where(ended, 0.0, following.reward)
        lengths += ~ended
        ended |= following.step_type == StepType.LAST
        return step + 1, states, following, choice.state, returns, lengths, ended

    start = (
        jnp.zeros((), jnp.int32),
        states,
        first,
        policy.initial_state(episodes),
        jnp.zeros(episodes, jnp.float32),
        jnp.zeros(episodes, jnp.int32),
        jnp.zeros(episodes, bool),
    )
    return jax.lax.while_loop(going, advance, start)[-3:]


@functools.lru_cache(maxsize=16)
def _compiled_episodes(policy: Policy, environment: JaxEnvironment, episodes: int, max_steps: int) -> Any:
    return jax.jit(
        lambda weights, seed: episodes_of(policy, environment, episodes, max_steps, weights, jax.random.key(seed))
    )


def _endless(max_steps: int) -> EnvironmentFault:
    return EnvironmentFault(
        "an episode did not end",
        expected=f"LAST within {max_steps} steps",
        got="none",
        cause="an environment without a time limit, under a policy that never reaches its end.",
        fix="GymnasiumEnvironment.make(env_id, max_episode_steps=1000)",
    )
