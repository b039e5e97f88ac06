"""Drivers run policies in environments: step by step with observers, as one scan, or for whole episodes."""

from jaxdaw.drivers._episodes import (
    DEFAULT_EPISODE_BUDGET,
    Episodes,
    episode_budget,
    episodes_of,
    run_episodes,
    time_limit_warning,
)
from jaxdaw.drivers._host import EpisodeDriver, StepDriver
from jaxdaw.drivers._pure import Rollout, RolloutState

__all__ = [
    "DEFAULT_EPISODE_BUDGET",
    "EpisodeDriver",
    "Episodes",
    "Rollout",
    "RolloutState",
    "StepDriver",
    "episode_budget",
    "episodes_of",
    "run_episodes",
    "time_limit_warning",
]
