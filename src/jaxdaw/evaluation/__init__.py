"""Scores with confidence intervals, learning curves, and off-policy evaluation of logged decisions."""

from jaxdaw.evaluation._candidates import BUILT_IN, Candidate, policy_probabilities
from jaxdaw.evaluation._describe import describe_demonstrations, plot_demonstrations
from jaxdaw.evaluation._describe_off_policy import describe_off_policy, plot_off_policy
from jaxdaw.evaluation._estimators import ESTIMATORS, Estimator
from jaxdaw.evaluation._evaluate import Evaluation, evaluate, over_members
from jaxdaw.evaluation._gate import passes_gate
from jaxdaw.evaluation._off_policy import (
    CandidateReport,
    Comparison,
    Estimate,
    OffPolicyReport,
    evaluate_off_policy,
)
from jaxdaw.evaluation._overlap import Overlap
from jaxdaw.evaluation._plot import plot_learning_curves
from jaxdaw.evaluation._plot_cloning import plot_cloning
from jaxdaw.evaluation._plot_regret import plot_regret
from jaxdaw.evaluation._propensities import estimate_propensities
from jaxdaw.evaluation._regret import describe_regret
from jaxdaw.evaluation._reward_model import ridge_rewards
from jaxdaw.evaluation._statistics import Interval, bootstrap_interval, iqm

__all__ = [
    "BUILT_IN",
    "ESTIMATORS",
    "Candidate",
    "CandidateReport",
    "Comparison",
    "Estimate",
    "Estimator",
    "Evaluation",
    "Interval",
    "OffPolicyReport",
    "Overlap",
    "bootstrap_interval",
    "describe_demonstrations",
    "describe_off_policy",
    "describe_regret",
    "estimate_propensities",
    "evaluate",
    "evaluate_off_policy",
    "iqm",
    "over_members",
    "passes_gate",
    "plot_cloning",
    "plot_demonstrations",
    "plot_learning_curves",
    "plot_off_policy",
    "plot_regret",
    "policy_probabilities",
    "ridge_rewards",
]
