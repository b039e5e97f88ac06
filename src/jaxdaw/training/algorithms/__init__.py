"""Algorithms by name: the options of each, what it learns from, and what of a run may change when it is resumed."""

from jaxdaw.training.algorithms._bandit import BanditConfig
from jaxdaw.training.algorithms._bc import BcConfig
from jaxdaw.training.algorithms._ddpg import DdpgConfig
from jaxdaw.training.algorithms._dqn import C51Config, DqnConfig, QrDqnConfig, RainbowConfig
from jaxdaw.training.algorithms._environment_config import mask_splitter as mask_splitter
from jaxdaw.training.algorithms._ppo import A2cConfig, PpoConfig
from jaxdaw.training.algorithms._reinforce import ReinforceConfig
from jaxdaw.training.algorithms._sac import SacConfig
from jaxdaw.training.algorithms._table import ALGORITHMS, Algorithm
from jaxdaw.training.algorithms._td3 import Td3Config

__all__ = [
    "ALGORITHMS",
    "A2cConfig",
    "Algorithm",
    "BanditConfig",
    "BcConfig",
    "C51Config",
    "DdpgConfig",
    "DqnConfig",
    "PpoConfig",
    "QrDqnConfig",
    "RainbowConfig",
    "ReinforceConfig",
    "SacConfig",
    "Td3Config",
]
