"""Policies: from TimeStep to PolicyStep. Value-based and actor policies, and exploration around them."""

from jaxdaw.distributions import is_distribution as is_distribution
from jaxdaw.policies._actions import as_declared as as_declared
from jaxdaw.policies._actor import ActorPolicy
from jaxdaw.policies._actor import action_distributions as action_distributions
from jaxdaw.policies._base import Policy
from jaxdaw.policies._bound import BoundPolicy
from jaxdaw.policies._constraints import Splitter, split_observation
from jaxdaw.policies._distributional_q import CategoricalQPolicy, QuantileQPolicy
from jaxdaw.policies._distributional_q import mean_of_atoms as mean_of_atoms
from jaxdaw.policies._exploration import BoltzmannPolicy, EpsilonGreedyPolicy, GreedyPolicy
from jaxdaw.policies._info import BanditPolicyType, PolicyInfo
from jaxdaw.policies._noise import GaussianPolicy, OUNoisePolicy
from jaxdaw.policies._noise import half_width as half_width
from jaxdaw.policies._noisy_network import NoisyNetworkPolicy
from jaxdaw.policies._ppo import PPOPolicy
from jaxdaw.policies._q import QPolicy
from jaxdaw.policies._q import check_input_of as check_input_of
from jaxdaw.policies._q import check_scalar_action as check_scalar_action
from jaxdaw.policies._q import check_values_of as check_values_of
from jaxdaw.policies._random import RandomPolicy
from jaxdaw.policies._reward_prediction import Constraint, GreedyRewardPredictionPolicy
from jaxdaw.policies._reward_prediction import check_bandit_action as check_bandit_action
from jaxdaw.policies._reward_prediction import features_of as features_of
from jaxdaw.policies._square_cb import FalconPolicy, FastCBPolicy, SquareCBPolicy
from jaxdaw.policies._trained_constraints import (
    AbsoluteConstraint,
    NeuralConstraint,
    QuantileConstraint,
    RelativeConstraint,
    RelativeQuantileConstraint,
)
from jaxdaw.policies._trained_constraints import trained_constraints as trained_constraints
from jaxdaw.policies._ucb_thompson import EnsembleThompsonSamplingPolicy, LinearThompsonSamplingPolicy, LinearUCBPolicy

__all__ = [
    "AbsoluteConstraint",
    "ActorPolicy",
    "BanditPolicyType",
    "BoltzmannPolicy",
    "BoundPolicy",
    "CategoricalQPolicy",
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
    "NoisyNetworkPolicy",
    "OUNoisePolicy",
    "PPOPolicy",
    "Policy",
    "PolicyInfo",
    "QPolicy",
    "QuantileConstraint",
    "QuantileQPolicy",
    "RandomPolicy",
    "RelativeConstraint",
    "RelativeQuantileConstraint",
    "Splitter",
    "SquareCBPolicy",
    "split_observation",
]
