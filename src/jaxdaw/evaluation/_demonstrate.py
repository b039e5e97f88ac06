"""Recording demonstrations: a policy acts, and its episodes are written down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxdaw import environments, specs
from jaxdaw.data import DemonstrationWriter, Episode
from jaxdaw.environments import Environment
from jaxdaw.errors import ConfigError
from jaxdaw.policies import Policy
from jaxdaw.specs import StepType


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
    world = environments.make(environment, num_envs=1)
    if not isinstance(world, Environment):
        raise ConfigError(
            "demonstrations are recorded in a Gymnasium environment",
            expected="CartPole-v1",
            got=environment,
            fix=f"--env {environment.removeprefix('jax:')}",
        )
    metadata = {"environment": environment, "policy": policy.name}
    try:
        with DemonstrationWriter(path, world.observation_spec, world.action_spec, metadata=metadata) as writer:
            for number in range(episodes):
                episode = _one_episode(policy, world, seed + number)
                writer.add(episode)
                if watch is not None:
                    watch(number + 1, float(np.sum(np.asarray(episode.reward))))
    finally:
        world.close()
    return Path(path)


def _one_episode(policy: Policy, world: Environment, seed: int) -> Episode:
    step, state = world.reset(seed=seed), policy.get_initial_state(1)
    seeds = np.random.default_rng(seed)
    observations: list[Any] = [step.observation]
    actions: list[Any] = []
    rewards: list[float] = []
    while True:
        choice = policy.action(step, state, int(seeds.integers(2**32, dtype=np.uint32)))
        step, state = world.step(choice.action), choice.state
        observations.append(step.observation)
        actions.append(choice.action)
        rewards.append(float(step.reward[0]))
        if step.step_type[0] == StepType.LAST:
            break

    def stacked(nests: list[Any]) -> Any:
        return specs.map_structure(lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves]), *nests)

    terminated = bool(step.discount[0] == 0)
    return Episode(
        observation=stacked(observations),
        action=stacked(actions),
        reward=np.asarray(rewards, np.float32),
        terminated=terminated,
        truncated=not terminated,
        info={"seed": seed},
    )
