"""A policy's score over whole episodes, with an interval."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jaxdaw.drivers import run_episodes
from jaxdaw.environments import Environment, JaxEnvironment
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
    """

    mean_return: float
    std_return: float
    iqm: float
    ci95: Interval
    mean_length: float
    episodes: int
    seed: int
    returns: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as JSON values."""
        return {**dataclasses.asdict(self), "ci95": list(self.ci95), "returns": list(self.returns)}


def evaluate(
    policy: Policy, environment: Environment | JaxEnvironment, episodes: int = 100, seed: int = 0
) -> Evaluation:
    """Runs whole episodes and returns what they were worth; arguments and errors as for `drivers.run_episodes`."""
    run = run_episodes(policy, environment, episodes, seed)
    return Evaluation(
        mean_return=float(np.mean(run.returns)),
        std_return=float(np.std(run.returns)),
        iqm=float(iqm(run.returns)),
        ci95=bootstrap_interval(run.returns, seed=seed),
        mean_length=float(np.mean(run.lengths)),
        episodes=episodes,
        seed=seed,
        returns=tuple(float(r) for r in run.returns),
    )
