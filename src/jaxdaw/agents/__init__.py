"""Agents: one file for each algorithm, with its constructor and its pure functions."""

from jaxdaw.agents._agent import Agent
from jaxdaw.agents._behavioral_cloning import BehavioralCloningAgent, BehavioralCloningLossInfo
from jaxdaw.agents._categorical_dqn import CategoricalDqnAgent
from jaxdaw.agents._checks import check_choice as check_choice
from jaxdaw.agents._checks import check_range as check_range
from jaxdaw.agents._cloning_losses import nested_loss
from jaxdaw.agents._critics import check_bounded_floats as check_bounded_floats
from jaxdaw.agents._ddpg import DdpgAgent, DdpgInfo
from jaxdaw.agents._ddqn import DdqnAgent
from jaxdaw.agents._discrete_sac import DiscreteSacAgent
from jaxdaw.agents._dqn import DqnAgent, DqnLossInfo
from jaxdaw.agents._ensemble import EnsembleThompsonSamplingAgent
from jaxdaw.agents._linear_bandits import LinearBanditAgent, LinearThompsonSamplingAgent, LinearUCBAgent
from jaxdaw.agents._neural_epsilon_greedy import NeuralEpsilonGreedyAgent
from jaxdaw.agents._ppo import PPOAgent, PPOLossInfo
from jaxdaw.agents._ppo_clip import PPOClipAgent
from jaxdaw.agents._ppo_kl_penalty import PPOKLPenaltyAgent
from jaxdaw.agents._qr_dqn import QrDqnAgent
from jaxdaw.agents._reinforce import ReinforceAgent, ReinforceAgentLossInfo
from jaxdaw.agents._reward_prediction import GreedyRewardPredictionAgent, RewardPredictionLossInfo
from jaxdaw.agents._sac import SacAgent, SacLossInfo
from jaxdaw.agents._state import AgentState, BatchLoss, StepCounter
from jaxdaw.agents._summaries import Histogram
from jaxdaw.agents._td3 import Td3Agent, Td3Info

__all__ = [
    "Agent",
    "AgentState",
    "BatchLoss",
    "BehavioralCloningAgent",
    "BehavioralCloningLossInfo",
    "CategoricalDqnAgent",
    "DdpgAgent",
    "DdpgInfo",
    "DdqnAgent",
    "DiscreteSacAgent",
    "DqnAgent",
    "DqnLossInfo",
    "EnsembleThompsonSamplingAgent",
    "GreedyRewardPredictionAgent",
    "Histogram",
    "LinearBanditAgent",
    "LinearThompsonSamplingAgent",
    "LinearUCBAgent",
    "NeuralEpsilonGreedyAgent",
    "PPOAgent",
    "PPOClipAgent",
    "PPOKLPenaltyAgent",
    "PPOLossInfo",
    "QrDqnAgent",
    "ReinforceAgent",
    "ReinforceAgentLossInfo",
    "RewardPredictionLossInfo",
    "SacAgent",
    "SacLossInfo",
    "StepCounter",
    "Td3Agent",
    "Td3Info",
    "nested_loss",
]
