"""Running statistics as three pure functions: `init`, `update` with each frame, `compute`."""

from jaxdaw.metrics._episodes import EpisodeMetrics, EpisodeMetricsState, EpisodeSummary

__all__ = ["EpisodeMetrics", "EpisodeMetricsState", "EpisodeSummary"]
