"""Algorithms by name: the options of each, what it learns from, and what of a run may change when it is resumed."""

from jaxdaw.training.algorithms._bandit import BanditConfig
from jaxdaw.training.algorithms._bc import BcConfig
from jaxdaw.training.algorithms._dqn import DqnConfig
from jaxdaw.training.algorithms._ppo import PpoConfig
from jaxdaw.training.algorithms._reinforce import ReinforceConfig
from jaxdaw.training.algorithms._table import ALGORITHMS, Algorithm

__all__ = ["ALGORITHMS", "Algorithm", "BanditConfig", "BcConfig", "DqnConfig", "PpoConfig", "ReinforceConfig"]
