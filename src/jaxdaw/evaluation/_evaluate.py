"""evaluate: the mean return of a policy over whole episodes, with a confidence interval."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxdaw.drivers import run_episodes, time_limit_warning
from jaxdaw.environments import EnvironmentLike, as_environment
from jaxdaw.errors import ConfigError, JaxdawWarning
from jaxdaw.evaluation._statistics import Interval, bootstrap_interval, iqm
from jaxdaw.policies import Policy


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a policy earned.

    Attributes:
      mean_return, std_return: over episodes, undiscounted.
      iqm: interquartile mean of the returns.
      ci95: 95 % bootstrap interval of the mean.
      mean_length: actions in an episode.
      episodes: how many.
      seed: of the environment.
      returns: of each episode.
      cut_episodes: how many of them had not ended after `max_episode_steps` actions; they count with what they had
        earned by then.
    """

    mean_return: float
    std_return: float
    iqm: float
    ci95: Interval
    mean_length: float
    episodes: int
    seed: int
    returns: tuple[float, ...]
    cut_episodes: int = 0

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as JSON values."""
        return {**dataclasses.asdict(self), "ci95": list(self.ci95), "returns": list(self.returns)}


def evaluate(
    policy: Policy,
    environment: EnvironmentLike,
    episodes: int = 100,
    seed: int = 0,
    *,
    num_envs: int = 10,
    max_episode_steps: int | None = None,
    progress: Callable[[int, int], Any] | None = None,
) -> Evaluation:
    """Runs whole episodes and returns what they were worth.

    Args:
      policy: how to act.
      environment: an id, a recipe, an environment of any kind, or a function that makes one.
      episodes: how many, at least 1.
      seed: of the environment and of the policy's choices.
      num_envs: rows that step side by side, where the environment is made here.
      max_episode_steps: actions after which an episode is cut; None is the environment's own limit, or 10,000.
      progress: is called with the number of episodes that have ended and the steps taken in each row.

    Raises:
      ConfigError: a number outside its range, or no environment.

    Warns:
      JaxdawWarning: the environment declares no time limit, and none is asked for.
    """
    if episodes < 1:
        raise ConfigError("episodes is outside its range", expected="at least 1", got=str(episodes))
    with as_environment(environment, min(num_envs, episodes)) as handle:
        warning = time_limit_warning(handle.environment, max_episode_steps)
        if warning is not None:
            warnings.warn(warning, JaxdawWarning, stacklevel=2)
        run = run_episodes(
            policy, handle.environment, episodes, seed, max_episode_steps=max_episode_steps, progress=progress
        )
    return Evaluation(
        mean_return=float(np.mean(run.returns)),
        std_return=float(np.std(run.returns)),
        iqm=float(iqm(run.returns)),
        ci95=bootstrap_interval(run.returns, seed=seed),
        mean_length=float(np.mean(run.lengths)),
        episodes=episodes,
        seed=seed,
        returns=tuple(float(r) for r in run.returns),
        cut_episodes=int(run.cut.sum()),
    )


def over_members(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Returns what a population earned: one return for each member, the mean of its episodes.

    Args:
      evaluations: of the members, at least one.
    """
    means = np.array([one.mean_return for one in evaluations])
    first = evaluations[0]
    return Evaluation(
        mean_return=float(np.mean(means)),
        std_return=float(np.std(means)),
        iqm=float(iqm(means)),
        ci95=bootstrap_interval(means, seed=first.seed),
        mean_length=float(np.mean([one.mean_length for one in evaluations])),
        episodes=sum(one.episodes for one in evaluations),
        seed=first.seed,
        returns=tuple(float(mean) for mean in means),
        cut_episodes=sum(one.cut_episodes for one in evaluations),
    )
