"""Every policy through one table."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from jaxdaw import networks, specs, testing, trajectories
from jaxdaw.policies import (
    ActorPolicy,
    BoltzmannPolicy,
    EnsembleThompsonSamplingPolicy,
    EpsilonGreedyPolicy,
    FalconPolicy,
    FastCBPolicy,
    GaussianPolicy,
    GreedyPolicy,
    GreedyRewardPredictionPolicy,
    LinearThompsonSamplingPolicy,
    LinearUCBPolicy,
    OUNoisePolicy,
    Policy,
    PPOPolicy,
    QPolicy,
    RandomPolicy,
    SquareCBPolicy,
)

OBSERVATION = specs.BoundedTensorSpec((3,), np.float32, -2.0, 2.0, "observation")
STEP = trajectories.time_step_spec(OBSERVATION)
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 3, "action")
ACTIONS = {
    "gear": specs.BoundedTensorSpec((), np.int32, -1, 3),
    "wheel": (specs.BoundedTensorSpec((2,), np.float32, [-1, 0], [1, 5]),),
}
FLOATS = {"wheel": ACTIONS["wheel"], "gas": specs.BoundedTensorSpec((), np.float32, 0, 1)}


def q_policy(**options: Any) -> QPolicy:
    return QPolicy(STEP, ACTION, networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,)), **options)


def recurrent() -> QPolicy:
    return QPolicy(STEP, ACTION, networks.QRnnNetwork(OBSERVATION, ACTION, lstm_size=(4,)), emit_log_probability=True)


MASKED = {"place": OBSERVATION, "mask": specs.BoundedTensorSpec((4,), np.int32, [1, 0, 0, 0], 1)}


def actor(actions: Any = FLOATS, **options: Any) -> ActorPolicy:
    network = networks.ActorDistributionNetwork(
        OBSERVATION,
        actions,
        fc_layer_params=(8,),
        continuous_projection_net=functools.partial(networks.NormalProjection, scale_distribution=True),
    )
    return ActorPolicy(STEP, actions, network, emit_log_probability=True, **options)


def normal_actor() -> ActorPolicy:
    network = networks.ActorDistributionNetwork(OBSERVATION, FLOATS, fc_layer_params=(8,))
    return ActorPolicy(STEP, FLOATS, network)


def unclipped_actor() -> ActorPolicy:
    """Records what it drew, mostly outside of the bounds, and its log-probability."""
    wide = functools.partial(networks.NormalProjection, std_bias_initializer_value=5.0)
    network = networks.ActorDistributionNetwork(
        OBSERVATION, FLOATS, fc_layer_params=(8,), continuous_projection_net=wide
    )
    return ActorPolicy(STEP, FLOATS, network, clip=False, emit_log_probability=True)


def masked_actor() -> ActorPolicy:
    network = networks.ActorDistributionNetwork(OBSERVATION, ACTION, fc_layer_params=(8,))
    return ActorPolicy(
        trajectories.time_step_spec(MASKED),
        ACTION,
        network,
        observation_and_action_constraint_splitter=lambda both: (both["place"], both["mask"]),
        emit_log_probability=True,
    )


def recurrent_actor() -> ActorPolicy:
    network = networks.ActorDistributionRnnNetwork(
        OBSERVATION, ACTIONS, input_fc_layer_params=(6,), lstm_size=(4,), output_fc_layer_params=None
    )
    return ActorPolicy(STEP, ACTIONS, network)


def recording_actor() -> PPOPolicy:
    network = networks.ActorDistributionNetwork(OBSERVATION, ACTIONS, fc_layer_params=(8,))
    value = networks.ValueRnnNetwork(OBSERVATION, input_fc_layer_params=None, lstm_size=(4,))
    return PPOPolicy(STEP, ACTIONS, network, value, reward_discount=0.9)


def normalizing_actor() -> ActorPolicy:
    normalizer = networks.StreamingNormalizer(OBSERVATION)
    normalizer.update(np.array([[1.0, 2.0, -1.0], [0.5, -2.0, 0.0]], np.float32))
    return actor(observation_normalizer=normalizer)


def deterministic_actor() -> ActorPolicy:
    wheel = FLOATS["wheel"][0]
    return ActorPolicy(STEP, wheel, networks.ActorNetwork(OBSERVATION, wheel, fc_layer_params=(8,)))


ARMS = {
    "global": OBSERVATION,
    "per_arm": specs.BoundedTensorSpec((4, 2), np.float32, -1.0, 1.0),
    "num_actions": specs.BoundedTensorSpec((), np.int32, 1, 4),
}


def reward_policy(kind: Any, network: Any, **options: Any) -> Any:
    """Returns a policy over predicted rewards and masks that reports its propensities."""
    return kind(
        trajectories.time_step_spec(MASKED),
        ACTION,
        network,
        observation_and_action_constraint_splitter=lambda both: (both["place"], both["mask"]),
        emit_policy_info=("log_probability", "predicted_rewards_mean", "bandit_policy_type"),
        **options,
    )


def bandit() -> GreedyRewardPredictionPolicy:
    network = networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,))
    return reward_policy(GreedyRewardPredictionPolicy, network)


def ensemble() -> networks.EnsembleNetwork:
    return networks.EnsembleNetwork(networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,)), 5)


def over_arms(kind: Any, network: Any) -> Any:
    return kind(
        trajectories.time_step_spec(ARMS),
        ACTION,
        network,
        accepts_per_arm_features=True,
        constraints=(lambda observation: observation["per_arm"][..., 0] >= -1.0,),
        emit_policy_info=("log_probability",),
    )


def bandit_over_arms() -> GreedyRewardPredictionPolicy:
    return over_arms(GreedyRewardPredictionPolicy, networks.GlobalAndArmDotProductNetwork(ARMS, (5,), (5,)))


def thompson_over_arms() -> Policy:
    network = networks.LinearRewardNetwork(ARMS, ACTION, accepts_per_arm_features=True)
    return over_arms(LinearThompsonSamplingPolicy, network)


POLICIES: dict[str, Callable[[], Policy]] = {
    "q": lambda: q_policy(emit_log_probability=True),
    "q recurrent": recurrent,
    "greedy": lambda: GreedyPolicy(q_policy()),
    "greedy recurrent": lambda: GreedyPolicy(recurrent()),
    "epsilon greedy": lambda: EpsilonGreedyPolicy(q_policy(emit_log_probability=True), 0.3),
    "epsilon greedy, scheduled": lambda: EpsilonGreedyPolicy(q_policy(), lambda step: 0.5),
    "epsilon greedy recurrent": lambda: EpsilonGreedyPolicy(recurrent(), 0.3),
    "boltzmann": lambda: BoltzmannPolicy(q_policy(emit_log_probability=True), 0.5),
    "squarecb, masked": lambda: SquareCBPolicy(bandit(), 5.0),
    "fastcb, masked": lambda: FastCBPolicy(bandit(), 5.0),
    "falcon, masked": lambda: FalconPolicy(bandit(), lambda step: 3.0),
    "linear ucb, masked": lambda: reward_policy(
        LinearUCBPolicy, networks.LinearRewardNetwork(OBSERVATION, ACTION), alpha=0.5
    ),
    "linear thompson, masked": lambda: reward_policy(
        LinearThompsonSamplingPolicy, networks.LinearRewardNetwork(OBSERVATION, ACTION), alpha=0.5
    ),
    "linear thompson over arms": thompson_over_arms,
    "ensemble thompson, masked": lambda: reward_policy(EnsembleThompsonSamplingPolicy, ensemble()),
    "random": lambda: RandomPolicy(STEP, ACTION, emit_log_probability=True),
    "gaussian noise": lambda: GaussianPolicy(RandomPolicy(STEP, FLOATS), 0.1),
    "gaussian noise around an actor": lambda: GaussianPolicy(
        GreedyPolicy(normal_actor()), 0.1, clip=False, emit_log_probability=True
    ),
    "drifting noise": lambda: OUNoisePolicy(RandomPolicy(STEP, FLOATS), 0.1, 0.15),
    "actor deterministic": deterministic_actor,
    "actor normal": normal_actor,
    "actor that does not clip": unclipped_actor,
    "actor squashed": actor,
    "actor categorical, masked": masked_actor,
    "actor over a mixed nest": lambda: actor(ACTIONS),
    "actor lstm": recurrent_actor,
    "actor with a normalizer": normalizing_actor,
    "actor that records for PPO": recording_actor,
    "greedy actor over a mixed nest": lambda: GreedyPolicy(actor(ACTIONS)),
    "bandit greedy": bandit,
    "bandit exploring": lambda: EpsilonGreedyPolicy(bandit(), 0.3),
    "bandit over arms, exploring": lambda: EpsilonGreedyPolicy(bandit_over_arms(), 0.3),
    "random over a nest": lambda: RandomPolicy(STEP, ACTIONS, emit_log_probability=True),
}


@functools.lru_cache(maxsize=2)
def policy_of(name: str) -> Policy:
    """Returns a row's one policy, so that the checks share its compiled programs."""
    return POLICIES[name]()


@pytest.mark.parametrize("check", testing.POLICY_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", POLICIES)
def test_policy_conforms(name: str, check: Callable[[Any], None]):
    check(lambda: policy_of(name))


@pytest.mark.parametrize("name", POLICIES)
def test_what_a_call_reads_is_what_the_weights_are(name: str):
    policy = policy_of(name)
    for mine, whole in zip(policy._weight_leaves(), jax.tree.leaves(policy.get_weights()), strict=True):
        np.testing.assert_array_equal(mine, whole)
