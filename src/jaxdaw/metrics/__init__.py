"""Running statistics as three pure functions: `init`, `update` with each frame, `compute`."""

from jaxdaw.metrics._episodes import EpisodeMetrics, EpisodeMetricsState, EpisodeSummary
from jaxdaw.metrics._regret import RegretMetrics, RegretState, RegretSummary

__all__ = [
    "EpisodeMetrics",
    "EpisodeMetricsState",
    "EpisodeSummary",
    "RegretMetrics",
    "RegretState",
    "RegretSummary",
]
