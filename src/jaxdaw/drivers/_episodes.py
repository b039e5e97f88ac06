"""run_episodes: runs a policy for whole episodes and returns their returns and lengths."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.environments import Environment, GymnasiumEnvironment, JaxEnvironment
from jaxdaw.errors import ConfigError
from jaxdaw.policies import Policy
from jaxdaw.trajectories import StepType

DEFAULT_EPISODE_BUDGET = 10_000
"""Actions after which an episode is cut, in an environment that declares no time limit."""

_PROGRESS_EVERY = 1_000  # steps of all rows between two calls of `progress` while no episode ends

Progress = Callable[[int, int], Any]
"""Called with the number of episodes that have ended and the steps that were taken in each row."""


class Episodes(NamedTuple):
    """Whole episodes, in the order in which they were assigned.

    Attributes:
      returns: `[n]` float64, undiscounted.
      lengths: `[n]` int64, actions.
      cut: `[n]` bool, episodes that had not ended when their budget of actions was spent. Their returns are what they
        had earned by then. A time limit of the environment itself ends an episode, and does not count.
    """

    returns: np.ndarray
    lengths: np.ndarray
    cut: np.ndarray


def episode_budget(environment: Environment | JaxEnvironment, max_episode_steps: int | None = None) -> int:
    """Returns after how many actions `run_episodes` cuts an episode.

    Args:
      environment: whose own time limit is the default; without one it is `DEFAULT_EPISODE_BUDGET`.
      max_episode_steps: the number that is asked for; None is the default.

    Raises:
      ConfigError: a number below 1.
    """
    if max_episode_steps is not None:
        if isinstance(max_episode_steps, bool) or not isinstance(max_episode_steps, int) or max_episode_steps < 1:
            expected, got = "an integer of at least 1, or None", repr(max_episode_steps)
            raise ConfigError("max_episode_steps is outside its range", expected=expected, got=got)
        return max_episode_steps
    return getattr(environment, "max_episode_steps", None) or DEFAULT_EPISODE_BUDGET


def time_limit_warning(environment: Environment | JaxEnvironment, max_episode_steps: int | None = None) -> str | None:
    """Returns the warning for an environment whose episodes may never end, to be shown before it is used; else None.

    It is due where a Gymnasium environment declares no time limit, and no `max_episode_steps` is asked for. A pure
    environment without one is taken to end its episodes itself.
    """
    limited = max_episode_steps is not None or getattr(environment, "max_episode_steps", None) is not None
    if limited or not isinstance(environment, GymnasiumEnvironment):
        return None
    name = getattr(environment.first_row.spec, "id", None) or type(environment.first_row.unwrapped).__name__
    return (
        f"{name} declares no time limit, so its episodes may never end: episodes are cut after "
        f"{DEFAULT_EPISODE_BUDGET:,} steps, and counted\n  Fix: max_episode_steps=500, or --max-episode-steps 500"
    )


def run_episodes(
    policy: Policy,
    environment: Environment | JaxEnvironment,
    episodes: int,
    seed: int = 0,
    weights: Any = None,
    max_episode_steps: int | None = None,
    progress: Progress | None = None,
) -> Episodes:
    """Runs whole episodes; each ends, or is cut when its budget of actions is spent.

    Episode i belongs to row `i mod B` from the start. Taking the first `episodes` that end would prefer short ones.
    A row whose episode was cut waits until no other row has an episode to run, since rows are only reset together.

    Args:
      policy: how to act.
      environment: a host environment, whose rows run side by side; or a pure one, of which `episodes` copies run at
        once.
      episodes: how many.
      seed: of the environment and of the policy's choices.
      weights: the policy's; None takes those it has. Passing new ones does not recompile.
      max_episode_steps: actions after which an episode is cut; None is `episode_budget(environment)`.
      progress: is called in host environments whenever an episode ends, and every 1,000 steps; in pure ones at the end.
    """
    weights = policy.get_weights() if weights is None else weights
    budget = episode_budget(environment, max_episode_steps)
    if isinstance(environment, JaxEnvironment):
        run = _run_pure(policy, environment, episodes, seed, weights, budget)
        if progress is not None:
            progress(episodes, int(run.lengths.max(initial=0)))
        return run
    return _run_host(policy, environment, episodes, seed, weights, budget, progress)


def _run_host(
    policy: Policy,
    environment: Environment,
    episodes: int,
    seed: int,
    weights: Any,
    budget: int,
    progress: Progress | None,
) -> Episodes:
    rows = environment.batch_size
    quota = np.array([len(range(row, episodes, rows)) for row in range(rows)])
    run = Episodes(np.zeros(episodes), np.zeros(episodes, np.int64), np.zeros(episodes, bool))
    ended, waits = np.zeros(rows, np.int64), np.zeros(rows, bool)
    time_step, state = environment.reset(seed=seed), policy.initial_state(rows)
    seeds, steps = np.random.default_rng(seed), 0
    runs = ended < quota
    while runs.any():
        choice = policy.compiled_act(weights, time_step, state, seeds.integers(2**32, dtype=np.uint32))
        following = environment.clipped_step(jax.device_get(choice.action))
        live = runs & (time_step.step_type != StepType.LAST)
        episode = np.minimum(np.arange(rows) + ended * rows, episodes - 1)
        slot = episode[live]
        run.returns[slot] += following.reward[live]
        run.lengths[slot] += 1
        over = live & (following.step_type == StepType.LAST)
        steps += 1
        if steps >= budget:  # no episode is longer than the steps so far
            is_cut = live & ~over & (run.lengths[episode] >= budget)
            run.cut[episode[is_cut]] = True
            waits |= is_cut
            over |= is_cut
        time_step, state = following, choice.state
        if over.any():
            ended += over
            runs = (ended < quota) & ~waits
            if not runs.any() and (ended < quota).any():  # every row with episodes left is in an episode that was cut
                time_step, state = environment.reset(), policy.initial_state(rows)
                waits[:] = False
                runs = ended < quota
        if progress is not None and (steps % _PROGRESS_EVERY == 0 or over.any()):
            progress(int(ended.sum()), steps)
    return run


def _run_pure(
    policy: Policy, environment: JaxEnvironment, episodes: int, seed: int, weights: Any, budget: int
) -> Episodes:
    returns, lengths, ended = _compiled_episodes(policy, environment, episodes, budget)(weights, np.uint32(seed))
    return Episodes(np.asarray(returns, np.float64), np.asarray(lengths, np.int64), ~np.asarray(ended))


def episodes_of(
    policy: Policy, environment: JaxEnvironment, episodes: int, max_episode_steps: int, weights: Any, key: Any
) -> Any:
    """Returns `(returns, lengths, ended)`, each `[episodes]`, of as many copies of a pure environment; pure.

    Args:
      max_episode_steps: actions after which an episode is cut, and `ended` is False; see `episode_budget`.
    """
    key_environment, key_policy = jax.random.split(key)
    states, first = jax.vmap(environment.init)(jax.random.split(key_environment, episodes))

    def going(loop: Any) -> Any:
        step, _, _, _, _, _, ended = loop
        return (step < max_episode_steps) & ~jnp.all(ended)

    def advance(loop: Any) -> Any:
        step, states, time_step, memory, returns, lengths, ended = loop
        draw = policy.draw(jax.random.fold_in(key_policy, step), 1, episodes)
        choice = policy.act(weights, time_step, memory, jax.tree.map(lambda x: x[0], draw))
        states, following = jax.vmap(environment.clipped_step)(states, choice.action)
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
def _compiled_episodes(policy: Policy, environment: JaxEnvironment, episodes: int, budget: int) -> Any:
    return jax.jit(
        lambda weights, seed: episodes_of(policy, environment, episodes, budget, weights, jax.random.key(seed))
    )
