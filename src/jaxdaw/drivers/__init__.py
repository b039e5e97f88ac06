"""A policy in an environment: step by step with observers, as one scan, or for a number of whole episodes."""

from jaxdaw.drivers._episodes import Episodes, episodes_of, run_episodes
from jaxdaw.drivers._host import EpisodeDriver, StepDriver
from jaxdaw.drivers._pure import Rollout, RolloutState

__all__ = ["EpisodeDriver", "Episodes", "Rollout", "RolloutState", "StepDriver", "episodes_of", "run_episodes"]
