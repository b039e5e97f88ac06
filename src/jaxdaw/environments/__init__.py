"""Environments: batched ones on the host, pure ones for the device, adapters, bandits by name, and checks."""

from jaxdaw.environments._acrobot import Acrobot
from jaxdaw.environments._bandit import BanditEnvironment, BanditRound, BanditState
from jaxdaw.environments._bandits_by_name import BANDITS, make_bandit
from jaxdaw.environments._base import Environment, JaxEnvironment
from jaxdaw.environments._cartpole import CartPole
from jaxdaw.environments._catch import Catch
from jaxdaw.environments._check import check_environment
from jaxdaw.environments._check import find_faults as find_faults
from jaxdaw.environments._episodic import EpisodicEnvironment
from jaxdaw.environments._gymnasium import GymnasiumEnvironment
from jaxdaw.environments._handle import EnvironmentHandle, EnvironmentLike, as_environment
from jaxdaw.environments._jax_to_host import JaxToHost
from jaxdaw.environments._linear_bandits import BernoulliBandit, DriftingLinearBandit, LinearBandit, PerArmBandit
from jaxdaw.environments._make import is_pure, jax_environment, make
from jaxdaw.environments._make import make_unchecked as make_unchecked
from jaxdaw.environments._mountain_car import MountainCar, MountainCarContinuous
from jaxdaw.environments._pendulum import Pendulum
from jaxdaw.environments._recall import Recall
from jaxdaw.environments._recipe import EnvironmentRecipe
from jaxdaw.environments._table_bandits import ClassificationBandit, MushroomBandit, RewardTableBandit
from jaxdaw.environments._wheel import Wheel

__all__ = [
    "BANDITS",
    "Acrobot",
    "BanditEnvironment",
    "BanditRound",
    "BanditState",
    "BernoulliBandit",
    "CartPole",
    "Catch",
    "ClassificationBandit",
    "DriftingLinearBandit",
    "Environment",
    "EnvironmentHandle",
    "EnvironmentLike",
    "EnvironmentRecipe",
    "EpisodicEnvironment",
    "GymnasiumEnvironment",
    "JaxEnvironment",
    "JaxToHost",
    "LinearBandit",
    "MountainCar",
    "MountainCarContinuous",
    "MushroomBandit",
    "Pendulum",
    "PerArmBandit",
    "Recall",
    "RewardTableBandit",
    "Wheel",
    "as_environment",
    "check_environment",
    "is_pure",
    "jax_environment",
    "make",
    "make_bandit",
]
