"""Distributions over actions: batched, with action masks and exact log-probabilities; all are pytrees."""

from jaxdaw.distributions._base import Distribution
from jaxdaw.distributions._base import is_distribution as is_distribution
from jaxdaw.distributions._deterministic import Deterministic
from jaxdaw.distributions._divergences import kl_divergence
from jaxdaw.distributions._divergences import parameters_of as parameters_of
from jaxdaw.distributions._divergences import with_parameters as with_parameters
from jaxdaw.distributions._finite import Boltzmann, Categorical, EpsilonGreedy, Greedy, invalid_action
from jaxdaw.distributions._independent import Independent
from jaxdaw.distributions._joint import Joint
from jaxdaw.distributions._normal import Normal, TanhNormal
from jaxdaw.distributions._square_cb import SquareCB
from jaxdaw.distributions._thompson import largest_of_normals as largest_of_normals
from jaxdaw.distributions._thompson import votes as votes
from jaxdaw.distributions._uniform import Uniform

__all__ = [
    "Boltzmann",
    "Categorical",
    "Deterministic",
    "Distribution",
    "EpsilonGreedy",
    "Greedy",
    "Independent",
    "Joint",
    "Normal",
    "SquareCB",
    "TanhNormal",
    "Uniform",
    "invalid_action",
    "kl_divergence",
]
