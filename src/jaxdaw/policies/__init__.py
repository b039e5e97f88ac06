"""Policies: from TimeStep to PolicyStep. Value-based and actor policies, and exploration around them."""

from jaxdaw.distributions import is_distribution
from jaxdaw.policies._actor import ActorPolicy
from jaxdaw.policies._base import Policy
from jaxdaw.policies._bound import BoundPolicy
from jaxdaw.policies._constraints import Splitter, check_mask_values, split_observation
from jaxdaw.policies._exploration import BoltzmannPolicy, EpsilonGreedyPolicy, GreedyPolicy
from jaxdaw.policies._info import BanditPolicyType, PolicyInfo
from jaxdaw.policies._noise import GaussianPolicy, OUNoisePolicy, OUNoiseState
from jaxdaw.policies._q import QPolicy, check_scalar_action, check_values_of
from jaxdaw.policies._random import RandomPolicy
from jaxdaw.policies._reward_prediction import (
    Constraint,
    GreedyRewardPredictionPolicy,
    check_bandit_action,
    features_of,
)
from jaxdaw.policies._square_cb import FalconPolicy, FastCBPolicy, SquareCBPolicy
from jaxdaw.policies._trained_constraints import (
    AbsoluteConstraint,
    NeuralConstraint,
    QuantileConstraint,
    RelativeConstraint,
    RelativeQuantileConstraint,
    trained_constraints,
)
from jaxdaw.policies._ucb_thompson import (
    EnsembleThompsonSamplingPolicy,
    LinearThompsonSamplingPolicy,
    LinearUCBPolicy,
)

__all__ = [
    "AbsoluteConstraint",
    "ActorPolicy",
    "BanditPolicyType",
    "BoltzmannPolicy",
    "BoundPolicy",
    "Constraint",
    "EnsembleThompsonSamplingPolicy",
    "EpsilonGreedyPolicy",
    "FalconPolicy",
    "FastCBPolicy",
    "GaussianPolicy",
    "GreedyPolicy",
    "GreedyRewardPredictionPolicy",
    "LinearThompsonSamplingPolicy",
    "LinearUCBPolicy",
    "NeuralConstraint",
    "OUNoisePolicy",
    "OUNoiseState",
    "Policy",
    "PolicyInfo",
    "QPolicy",
    "QuantileConstraint",
    "RandomPolicy",
    "RelativeConstraint",
    "RelativeQuantileConstraint",
    "Splitter",
    "SquareCBPolicy",
    "check_bandit_action",
    "check_mask_values",
    "check_scalar_action",
    "check_values_of",
    "features_of",
    "is_distribution",
    "split_observation",
    "trained_constraints",
]
