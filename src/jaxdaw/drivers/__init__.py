"""Drivers run policies in environments: step by step with observers, as one scan, or for whole episodes."""

from jaxdaw.drivers._episodes import Episodes, run_episodes
from jaxdaw.drivers._episodes import episode_budget as episode_budget
from jaxdaw.drivers._episodes import episodes_of as episodes_of
from jaxdaw.drivers._episodes import time_limit_warning as time_limit_warning
from jaxdaw.drivers._host import EpisodeDriver, StepDriver
from jaxdaw.drivers._pure import Rollout, RolloutState

__all__ = [
    "EpisodeDriver",
    "Episodes",
    "Rollout",
    "RolloutState",
    "StepDriver",
    "run_episodes",
]
