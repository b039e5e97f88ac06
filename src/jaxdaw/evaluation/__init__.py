"""Scores with intervals, learning curves, and pictures of a policy at work."""

from jaxdaw.evaluation._demonstrate import record_demonstrations
from jaxdaw.evaluation._describe import describe_demonstrations, plot_demonstrations
from jaxdaw.evaluation._evaluate import Evaluation, evaluate
from jaxdaw.evaluation._human import record_human
from jaxdaw.evaluation._plot import plot_learning_curves
from jaxdaw.evaluation._plot_cloning import plot_cloning
from jaxdaw.evaluation._record import play, record
from jaxdaw.evaluation._statistics import Interval, bootstrap_interval, iqm

__all__ = [
    "Evaluation",
    "Interval",
    "bootstrap_interval",
    "describe_demonstrations",
    "evaluate",
    "iqm",
    "play",
    "plot_cloning",
    "plot_demonstrations",
    "plot_learning_curves",
    "record",
    "record_demonstrations",
    "record_human",
]
