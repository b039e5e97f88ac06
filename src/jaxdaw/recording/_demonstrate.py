"""Recording demonstrations: a policy acts, and its episodes are written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdaw import environments, specs
from jaxdaw.data import DemonstrationWriter, Episode
from jaxdaw.environments import Environment
from jaxdaw.errors import ConfigError
from jaxdaw.policies import Policy
from jaxdaw.specs import StepType
from jaxdaw.trajectories import TimeStep


def record_demonstrations(
    policy: Policy,
    environment: str,
    path: str | Path,
    episodes: int = 10,
    seed: int = 0,
    watch: Callable[[int, float], Any] | None = None,
) -> Path:
    """Lets a policy act for some episodes, writes them into a directory, and returns its path.

    Each episode is durable before the next one starts. A directory that holds demonstrations of the same environment
    is continued.

    Args:
      policy: how to act.
      environment: a Gymnasium id.
      path: of the directory.
      episodes: how many.
      seed: of the environment and of the policy's choices.
      watch: is called with the number and the return of every episode.

    Raises:
      ConfigError: a pure environment, which has no episodes on the host.
      StorageError: the directory holds something else, or cannot be written.
    """
    refuse_pure(environment, "--env")
    world = environments.GymnasiumEnvironment.make(environment)
    metadata = {"environment": environment, "policy": policy.name}
    try:
        with DemonstrationWriter(path, world.observation_spec, world.action_spec, metadata=metadata) as writer:
            for number in range(episodes):
                episode = _one_episode(policy, world, seed + number)
                writer.add(episode)
                writer.flush()
                if watch is not None:
                    watch(number + 1, float(np.sum(np.asarray(episode.reward))))
    finally:
        world.close()
    return Path(path)


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


def refuse_pure(environment: str, fix: str) -> None:
    """Raises ConfigError for a pure environment, which has no episodes on the host; `fix` ends in the other's id."""
    if environments.is_pure(environment):
        raise ConfigError(
            "demonstrations are recorded in a Gymnasium environment",
            expected="CartPole-v1",
            got=environment,
            fix=f"{fix} {environment.removeprefix('jax:')}",
        )


def _one_episode(policy: Policy, world: Environment, seed: int) -> Episode:
    step, state = world.reset(seed=seed), policy.get_initial_state(1)
    seeds = np.random.default_rng(seed)
    episode = EpisodeInTheMaking(step)
    while step.step_type[0] != StepType.LAST:
        choice = policy.action(step, state, int(seeds.integers(2**32, dtype=np.uint32)))
        step, state = world.step(choice.action), choice.state
        episode.add(choice.action, step)
    return episode.finished({"seed": seed})
