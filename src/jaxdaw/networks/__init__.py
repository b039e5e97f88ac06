"""Functions of observations that own their weights: the Network contract, encoders, cores, heads and normalizers."""

from jaxdaw.networks._actors import ActorDistributionNetwork, ActorDistributionRnnNetwork, ActorRnnNetwork
from jaxdaw.networks._encoding import EncodingNetwork, concatenate
from jaxdaw.networks._heads import ActorNetwork, ValueNetwork
from jaxdaw.networks._holding import holding
from jaxdaw.networks._module import Module
from jaxdaw.networks._network import Network
from jaxdaw.networks._normalizers import EMANormalizer, FixedNormalizer, StreamingNormalizer
from jaxdaw.networks._projections import (
    CategoricalProjection,
    NormalProjection,
    TanhNormalProjection,
    tanh_squash_to_spec,
)
from jaxdaw.networks._q import DuelingQNetwork, QNetwork, QRnnNetwork
from jaxdaw.networks._recipe import as_rngs
from jaxdaw.networks._recurrent import LSTMState, RecurrentCore, RecurrentEncodingNetwork
from jaxdaw.networks._sequential import Sequential
from jaxdaw.networks._weights import Weights, write_back

__all__ = [
    "ActorDistributionNetwork",
    "ActorDistributionRnnNetwork",
    "ActorNetwork",
    "ActorRnnNetwork",
    "CategoricalProjection",
    "DuelingQNetwork",
    "EMANormalizer",
    "EncodingNetwork",
    "FixedNormalizer",
    "LSTMState",
    "Module",
    "Network",
    "NormalProjection",
    "QNetwork",
    "QRnnNetwork",
    "RecurrentCore",
    "RecurrentEncodingNetwork",
    "Sequential",
    "StreamingNormalizer",
    "TanhNormalProjection",
    "ValueNetwork",
    "Weights",
    "as_rngs",
    "concatenate",
    "holding",
    "tanh_squash_to_spec",
    "write_back",
]
