"""Networks: functions of observations that own their weights; encoders, recurrent cores, heads and normalizers."""

from jaxdaw.networks._actors import ActorDistributionNetwork, ActorDistributionRnnNetwork, ActorRnnNetwork
from jaxdaw.networks._borrowed_weights import holding as holding
from jaxdaw.networks._constructor_arguments import as_rngs
from jaxdaw.networks._critic import CriticNetwork, CriticRnnNetwork
from jaxdaw.networks._distributional_q import CategoricalQNetwork, QuantileQNetwork
from jaxdaw.networks._encoding import EncodingNetwork, concatenate, signed_log
from jaxdaw.networks._ensemble import EnsembleNetwork
from jaxdaw.networks._heads import ActorNetwork, ValueNetwork, ValueRnnNetwork
from jaxdaw.networks._heteroscedastic import HeteroscedasticQNetwork
from jaxdaw.networks._leaf_encoders import Embedding, ImageEncoder, OneHot, encoder_options
from jaxdaw.networks._linear_rewards import LinearRewardNetwork
from jaxdaw.networks._module import Module as Module
from jaxdaw.networks._network import Network
from jaxdaw.networks._network import require_network as require_network
from jaxdaw.networks._noisy import NoisyDense
from jaxdaw.networks._noisy import is_noisy as is_noisy
from jaxdaw.networks._noisy import with_noise as with_noise
from jaxdaw.networks._normalizers import EMANormalizer, FixedNormalizer, StreamingNormalizer
from jaxdaw.networks._parameter import Parameter
from jaxdaw.networks._per_arm import GlobalAndArmCommonTowerNetwork, GlobalAndArmDotProductNetwork, PerArmNetwork
from jaxdaw.networks._prediction import RewardBelief, RewardPrediction
from jaxdaw.networks._prediction import mean_of as mean_of
from jaxdaw.networks._projections import (
    CategoricalProjection,
    NormalProjection,
    TanhNormalProjection,
    std_clip_transform,
    tanh_squash_to_spec,
)
from jaxdaw.networks._q import DuelingQNetwork, QNetwork, QRnnNetwork
from jaxdaw.networks._recurrent import LSTMState, RecurrentCore, RecurrentEncodingNetwork
from jaxdaw.networks._sequential import Sequential
from jaxdaw.networks._weights import Weights
from jaxdaw.networks._weights import read_arrays as read_arrays
from jaxdaw.networks._weights import write_arrays as write_arrays

__all__ = [
    "ActorDistributionNetwork",
    "ActorDistributionRnnNetwork",
    "ActorNetwork",
    "ActorRnnNetwork",
    "CategoricalProjection",
    "CategoricalQNetwork",
    "CriticNetwork",
    "CriticRnnNetwork",
    "DuelingQNetwork",
    "EMANormalizer",
    "Embedding",
    "EncodingNetwork",
    "EnsembleNetwork",
    "FixedNormalizer",
    "GlobalAndArmCommonTowerNetwork",
    "GlobalAndArmDotProductNetwork",
    "HeteroscedasticQNetwork",
    "ImageEncoder",
    "LSTMState",
    "LinearRewardNetwork",
    "Network",
    "NoisyDense",
    "NormalProjection",
    "OneHot",
    "Parameter",
    "PerArmNetwork",
    "QNetwork",
    "QRnnNetwork",
    "QuantileQNetwork",
    "RecurrentCore",
    "RecurrentEncodingNetwork",
    "RewardBelief",
    "RewardPrediction",
    "Sequential",
    "StreamingNormalizer",
    "TanhNormalProjection",
    "ValueNetwork",
    "ValueRnnNetwork",
    "Weights",
    "as_rngs",
    "concatenate",
    "encoder_options",
    "signed_log",
    "std_clip_transform",
    "tanh_squash_to_spec",
]
