"""Demonstrations of a policy: it acts, and its episodes are written into a directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.data import DemonstrationWriter, Episode
from jaxdaw.drivers import episode_budget
from jaxdaw.environments import Environment, EnvironmentLike, EnvironmentRecipe, is_pure
from jaxdaw.errors import ConfigError
from jaxdaw.policies import Policy
from jaxdaw.recording._single_environment import SingleEnvironment, open_single
from jaxdaw.specs import StepType
from jaxdaw.trajectories import TimeStep


def record_demonstrations(
    policy: Policy,
    environment: EnvironmentLike,
    path: str | Path,
    episodes: int = 10,
    seed: int = 0,
    watch: Callable[[int, float], Any] | None = None,
    *,
    max_episode_steps: int | None = None,
) -> Path:
    """Lets a policy act for some episodes, writes them into a directory, and returns its path.

    Each episode is durable before the next one starts. A directory that holds demonstrations of the same environment
    is continued. Float actions are recorded as they were taken, within their bounds.

    Args:
      policy: how to act.
      environment: a Gymnasium id, a recipe, an environment of one row, or a function that makes one.
      path: of the directory.
      episodes: how many.
      seed: of the environment and of the policy's choices.
      watch: is called with the number and the return of every episode.
      max_episode_steps: actions after which an episode is cut, and recorded as truncated; None is the environment's own
        limit, or 10,000.

    Raises:
      ConfigError: a pure environment, which has no episodes on the host.
      StorageError: the directory holds something else, or cannot be written.

    Warns:
      JaxdawWarning: the environment declares no time limit, and none is asked for.
    """
    refuse_pure(environment, "--env")
    with open_single(environment, None, max_episode_steps) as single:
        world, budget = single.environment, episode_budget(single.environment, max_episode_steps)
        metadata = described(single, policy.name)
        with DemonstrationWriter(path, world.observation_spec, world.action_spec, metadata=metadata) as writer:
            for number in range(episodes):
                episode = _one_episode(policy, world, seed + number, budget)
                writer.add(episode)
                writer.flush()
                if watch is not None:
                    watch(number + 1, float(np.sum(np.asarray(episode.reward))))
    return Path(path)


def described(single: SingleEnvironment, policy: str) -> dict[str, Any]:
    """Returns the metadata of demonstrations: the environment, its recipe if that is more than an id, and who acted."""
    found: dict[str, Any] = {"environment": single.name, "policy": policy}
    if single.recipe is not None and single.recipe != EnvironmentRecipe(single.recipe.id):
        found["recipe"] = single.recipe.to_json()
    return found


class EpisodeInTheMaking:
    """The steps of an episode that goes on, in an environment of one row.

    Args:
      step: the first one.
    """

    def __init__(self, step: TimeStep):
        self._last = step
        self._observations: list[Any] = [step.observation]
        self._actions: list[Any] = []
        self._rewards: list[float] = []

    def __len__(self) -> int:
        """Returns the number of actions so far."""
        return len(self._actions)

    @property
    def total(self) -> float:
        """The sum of the rewards so far."""
        return float(sum(self._rewards))

    def add(self, action: Any, step: TimeStep) -> None:
        """Adds an action, `[1, ...]`, and the step that followed it."""
        self._last = step
        self._observations.append(step.observation)
        self._actions.append(action)
        self._rewards.append(float(step.reward[0]))

    def finished(self, info: Mapping[str, Any]) -> Episode:
        """Returns the episode, as its last step says that it ended."""

        def stacked(nests: list[Any]) -> Any:
            return specs.map_structure(lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves]), *nests)

        terminated = bool(self._last.discount[0] == 0)
        return Episode(
            observation=stacked(self._observations),
            action=stacked(self._actions),
            reward=np.asarray(self._rewards, np.float32),
            terminated=terminated,
            truncated=not terminated,
            info=info,
        )


def refuse_pure(environment: EnvironmentLike, fix: str) -> None:
    """Raises ConfigError for a pure environment, which has no episodes on the host; `fix` ends in the other's id."""
    env_id = environment.id if isinstance(environment, EnvironmentRecipe) else environment
    if is_pure(env_id):
        name = env_id if isinstance(env_id, str) else type(env_id).__name__
        raise ConfigError(
            "demonstrations are recorded in a Gymnasium environment",
            expected="CartPole-v1",
            got=name,
            fix=f"{fix} {name.removeprefix('jax:')}",
        )


def _one_episode(policy: Policy, world: Environment, seed: int, budget: int) -> Episode:
    step, state = world.reset(seed=seed), policy.get_initial_state(1)
    seeds = np.random.default_rng(seed)
    episode = EpisodeInTheMaking(step)
    while step.step_type[0] != StepType.LAST and len(episode) < budget:
        choice = policy.action(step, state, int(seeds.integers(2**32, dtype=np.uint32)))
        action = specs.clip_to_bounds(choice.action, world.action_spec)
        step, state = world.step(action), choice.state
        episode.add(action, step)
    return episode.finished({"seed": seed})
