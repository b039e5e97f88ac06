"""Every agent through one table."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
import pytest

from jaxdaw import math, networks, specs, testing, trajectories
from jaxdaw.agents import (
    Agent,
    BehavioralCloningAgent,
    CategoricalDqnAgent,
    DdpgAgent,
    DdqnAgent,
    DiscreteSacAgent,
    DqnAgent,
    EnsembleThompsonSamplingAgent,
    GreedyRewardPredictionAgent,
    LinearThompsonSamplingAgent,
    LinearUCBAgent,
    NeuralEpsilonGreedyAgent,
    PPOAgent,
    PPOClipAgent,
    PPOKLPenaltyAgent,
    QrDqnAgent,
    ReinforceAgent,
    SacAgent,
    Td3Agent,
    nested_loss,
)
from jaxdaw.policies import FalconPolicy, SquareCBPolicy

OBSERVATION = specs.BoundedTensorSpec((3,), np.float32, -2.0, 2.0, "observation")
NESTED = {"place": OBSERVATION, "map": (specs.TensorSpec((2, 2), np.float32),)}
MASKED = {"observation": OBSERVATION, "mask": specs.BoundedTensorSpec((4,), np.int32, 1, 1)}
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 3, "action")


def agent(
    kind: type[DqnAgent] = DqnAgent, observation: Any = OBSERVATION, network: Any = None, **options: Any
) -> Agent:
    if network is None:
        combiner = networks.concatenate if isinstance(observation, dict) else None
        network = networks.QNetwork(observation, ACTION, fc_layer_params=(8,), preprocessing_combiner=combiner)
    options = {"optimizer": optax.adam(1e-2), "target_update_period": 2, **options}
    return kind(trajectories.time_step_spec(observation), ACTION, network, **options)


def recurrent(**cells: Any) -> Agent:
    network = networks.QRnnNetwork(OBSERVATION, ACTION, input_fc_layer_params=(6,), **cells)
    return agent(network=network)


def masked(**options: Any) -> Agent:
    network = networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,))
    return DqnAgent(
        trajectories.time_step_spec(MASKED),
        ACTION,
        network,
        optax.adam(1e-2),
        observation_and_action_constraint_splitter=lambda both: (both["observation"], both["mask"]),
    )


def distributional(kind: Any, network: Any, **options: Any) -> Agent:
    return agent(
        kind, network=network(OBSERVATION, ACTION, 7, fc_layer_params=(8,), **options.pop("head", {})), **options
    )


def rainbow() -> Agent:
    head = {"dueling": True, "noisy": True}
    options = {"head": head, "double": True, "n_step_update": 3, "gamma": 0.9, "epsilon_greedy": 0.0}
    return distributional(CategoricalDqnAgent, networks.CategoricalQNetwork, **options)


STEER = specs.BoundedTensorSpec((2,), np.float32, [-1.0, 0.0], [1.0, 3.0], "steer")


def cloning(action: Any, network: Any, **options: Any) -> Agent:
    step = trajectories.time_step_spec(OBSERVATION)
    return BehavioralCloningAgent(step, action, network, optax.adam(1e-2), **options)


def cloning_mixed(**options: Any) -> Agent:
    actions = {"gear": ACTION, "steer": STEER}
    network = networks.ActorDistributionNetwork(OBSERVATION, actions, fc_layer_params=(8,))
    return cloning(actions, network, loss_fn=nested_loss, **options)


def cloning_recurrent(**options: Any) -> Agent:
    network = networks.ActorDistributionRnnNetwork(
        OBSERVATION, STEER, input_fc_layer_params=(6,), lstm_size=(5,), output_fc_layer_params=None
    )
    return cloning(STEER, network, num_outer_dims=2, loss="log_likelihood", **options)


def bandit(observation: Any = OBSERVATION, network: Any = None, **options: Any) -> Agent:
    if network is None:
        network = networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,))
    step = trajectories.time_step_spec(observation)
    return NeuralEpsilonGreedyAgent(step, ACTION, network, optax.adam(1e-2), 0.2, **options)


def bandit_masked() -> Agent:
    return bandit(
        MASKED,
        observation_and_action_constraint_splitter=lambda both: (both["observation"], both["mask"]),
        emit_policy_info=("predicted_rewards_mean", "bandit_policy_type"),
    )


ARMS = {
    "global": OBSERVATION,
    "per_arm": specs.BoundedTensorSpec((4, 2), np.float32, -1.0, 1.0),
    "num_actions": specs.BoundedTensorSpec((), np.int32, 2, 4),
}


def bandit_over_arms() -> Agent:
    network = networks.GlobalAndArmCommonTowerNetwork(ARMS, (5,), (5,), (5,))
    return bandit(ARMS, network, accepts_per_arm_features=True)


def bandit_with_noise() -> Agent:
    network = networks.HeteroscedasticQNetwork(OBSERVATION, ACTION, fc_layer_params=(8,))
    return bandit(network=network, laplacian_matrix=math.ordinal_laplacian(4), laplacian_smoothing_weight=0.1)


def bandit_that_counts() -> Agent:
    return GreedyRewardPredictionAgent(
        trajectories.time_step_spec(OBSERVATION),
        ACTION,
        networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,)),
        optax.adam(1e-2),
        num_samples_list=[0, 0, 0, 0],
        gradient_clipping=0.5,
        debug_summaries=True,
        summary_interval=1,
    )


def reinforce(action: Any = ACTION, actor: Any = None, **options: Any) -> Agent:
    step = trajectories.time_step_spec(OBSERVATION)
    actor = networks.ActorDistributionNetwork(OBSERVATION, action, fc_layer_params=(8,)) if actor is None else actor
    return ReinforceAgent(step, action, actor, optax.adam(1e-2), normalize_returns=False, **options)


def reinforce_with_baseline() -> Agent:
    value = networks.ValueNetwork(OBSERVATION, fc_layer_params=(6,))
    return reinforce(value_network=value, entropy_regularization=0.1, gamma=0.9, gradient_clipping=0.5)


def reinforce_recurrent() -> Agent:
    actor = networks.ActorDistributionRnnNetwork(
        OBSERVATION, STEER, input_fc_layer_params=(6,), lstm_size=(5,), output_fc_layer_params=None
    )
    return reinforce(STEER, actor, debug_summaries=True, summarize_grads_and_vars=True, summary_interval=1)


def continuous(kind: Any, recurrent: bool = False, **options: Any) -> Agent:
    if recurrent:
        lstm = {"lstm_size": (4,), "output_fc_layer_params": None}
        actor: Any = networks.ActorRnnNetwork(OBSERVATION, STEER, input_fc_layer_params=(5,), **lstm)
        critic: Any = networks.CriticRnnNetwork(
            (OBSERVATION, STEER), None, None, None, joint_fc_layer_params=(5,), **lstm
        )
    else:
        actor = networks.ActorNetwork(OBSERVATION, STEER, fc_layer_params=(6,))
        critic = networks.CriticNetwork((OBSERVATION, STEER), joint_fc_layer_params=(7,))
    step = trajectories.time_step_spec(OBSERVATION)
    options = {"gamma": 0.9, "target_update_tau": 0.1, **options}
    return kind(step, STEER, actor, critic, optax.adam(1e-2), optax.adam(1e-2), **options)


def sac(**options: Any) -> Agent:
    actor = networks.ActorDistributionNetwork(
        OBSERVATION, STEER, fc_layer_params=(8,), continuous_projection_net=networks.TanhNormalProjection
    )
    critic = networks.CriticNetwork((OBSERVATION, STEER), joint_fc_layer_params=(8,))
    optimizers = (optax.adam(1e-2) for _ in range(3))
    options = {"gamma": 0.9, "target_update_tau": 0.1, **options}
    return SacAgent(trajectories.time_step_spec(OBSERVATION), STEER, critic, actor, *optimizers, **options)


def sac_recurrent() -> Agent:
    memory = {"lstm_size": (5,), "output_fc_layer_params": None}
    actor = networks.ActorDistributionRnnNetwork(OBSERVATION, STEER, input_fc_layer_params=(6,), **memory)
    critic = networks.CriticRnnNetwork(
        (OBSERVATION, STEER),
        observation_fc_layer_params=None,
        action_fc_layer_params=None,
        joint_fc_layer_params=(6,),
        **memory,
    )
    optimizers = optax.adam(1e-2), optax.adam(1e-2), None
    step = trajectories.time_step_spec(OBSERVATION)
    return SacAgent(step, STEER, critic, actor, *optimizers, gamma=0.9, target_update_tau=0.1)


def discrete_sac_masked() -> Agent:
    return DiscreteSacAgent(
        trajectories.time_step_spec(MASKED),
        ACTION,
        networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,)),
        networks.ActorDistributionNetwork(OBSERVATION, ACTION, fc_layer_params=(8,)),
        *(optax.adam(1e-2) for _ in range(3)),
        observation_and_action_constraint_splitter=lambda both: (both["observation"], both["mask"]),
        gamma=0.9,
        target_update_tau=0.1,
    )


def ppo(kind: Any = PPOAgent, action: Any = ACTION, observation: Any = OBSERVATION, **options: Any) -> Agent:
    networks_of = options.pop("networks", None) or (
        networks.ActorDistributionNetwork(OBSERVATION, action, fc_layer_params=(8,)),
        networks.ValueNetwork(OBSERVATION, fc_layer_params=(6,)),
    )
    step = trajectories.time_step_spec(observation)
    options = {"num_epochs": 1, "optimizer": optax.adam(1e-2), **options}
    return kind(step, action, actor_net=networks_of[0], value_net=networks_of[1], **options)


def ppo_masked() -> Agent:
    return ppo(
        observation=MASKED,
        kl_cutoff_factor=0.0,
        debug_summaries=True,
        observation_and_action_constraint_splitter=lambda both: (both["observation"], both["mask"]),
    )


def ppo_recurrent() -> Agent:
    pair = (
        networks.ActorDistributionRnnNetwork(
            OBSERVATION, STEER, input_fc_layer_params=(6,), lstm_size=(5,), output_fc_layer_params=None
        ),
        networks.ValueRnnNetwork(OBSERVATION, input_fc_layer_params=(6,), lstm_size=(5,), output_fc_layer_params=None),
    )
    return ppo(PPOClipAgent, STEER, networks=pair, normalize_rewards=False)


def ppo_with_penalty() -> Agent:
    adaptive = {"initial_adaptive_kl_beta": 1.0, "adaptive_kl_target": 0.01, "adaptive_kl_tolerance": 0.3}
    return ppo(PPOKLPenaltyAgent, {"gear": ACTION, "steer": STEER}, **adaptive)


PROPENSITY = ("log_probability",)


def linear(kind: type[LinearUCBAgent] | type[LinearThompsonSamplingAgent], **options: Any) -> Agent:
    return kind(trajectories.time_step_spec(OBSERVATION), ACTION, emit_policy_info=PROPENSITY, **options)


def ensemble(**options: Any) -> Agent:
    step = trajectories.time_step_spec(OBSERVATION)
    network = networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,))
    options = {"num_members": 5, "emit_policy_info": PROPENSITY, **options}
    return EnsembleThompsonSamplingAgent(step, ACTION, network, optax.adam(1e-2), **options)


def exploring(explorer: Callable[[Any], Any]) -> Agent:
    step = trajectories.time_step_spec(OBSERVATION)
    network = networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,))
    return GreedyRewardPredictionAgent(
        step, ACTION, network, optax.adam(1e-2), emit_policy_info=PROPENSITY, explorer=explorer
    )


EXPLORERS: dict[str, Callable[[], Agent]] = {
    "linear ucb": lambda: linear(LinearUCBAgent),
    "linear thompson, forgetting": lambda: linear(LinearThompsonSamplingAgent, gamma=0.9, add_bias=True),
    "linear ucb with summaries": lambda: linear(
        LinearUCBAgent, debug_summaries=True, summarize_grads_and_vars=True, summary_interval=1
    ),
    "ensemble": ensemble,
    "ensemble with priors": lambda: ensemble(prior_scale=1.0, bootstrap="bernoulli"),
    "squarecb": lambda: exploring(lambda policy: SquareCBPolicy(policy, 10.0)),
    "falcon": lambda: exploring(FalconPolicy),
}
AGENTS: dict[str, Callable[[], Agent]] = {
    "dqn": agent,
    "dqn n-step, soft target, clipped": lambda: agent(
        n_step_update=3, target_update_tau=0.1, gradient_clipping=0.5, gamma=0.9
    ),
    "dqn nested observations": lambda: agent(observation=NESTED),
    "dqn masked": masked,
    "dqn boltzmann": lambda: agent(epsilon_greedy=None, boltzmann_temperature=0.7),
    "dqn with summaries": lambda: agent(debug_summaries=True, summarize_grads_and_vars=True, summary_interval=1),
    "dqn lstm": lambda: recurrent(lstm_size=(5,)),
    "dqn duelling": lambda: agent(network=networks.DuelingQNetwork(OBSERVATION, ACTION, fc_layer_params=(8,))),
    "cloning logits": lambda: cloning(ACTION, networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,))),
    "cloning an actor": lambda: cloning(STEER, networks.ActorNetwork(OBSERVATION, STEER, fc_layer_params=(8,))),
    "cloning mixed actions": cloning_mixed,
    "cloning lstm": cloning_recurrent,
    "cloning with summaries": lambda: cloning_mixed(
        debug_summaries=True, summarize_grads_and_vars=True, summary_interval=1
    ),
    "ddqn": lambda: agent(DdqnAgent),
    "c51": lambda: distributional(CategoricalDqnAgent, networks.CategoricalQNetwork, debug_summaries=True),
    "qrdqn": lambda: distributional(QrDqnAgent, networks.QuantileQNetwork, double=True, gradient_clipping=0.5),
    "rainbow": rainbow,
    "bandit masked": bandit_masked,
    "bandit over arms": bandit_over_arms,
    "bandit heteroscedastic, smoothed": bandit_with_noise,
    "bandit greedy, counting": bandit_that_counts,
    "reinforce": reinforce,
    "reinforce mixed actions": lambda: reinforce({"gear": ACTION, "steer": STEER}),
    "reinforce with a baseline": reinforce_with_baseline,
    "reinforce lstm": reinforce_recurrent,
    "ddpg lstm, clipped": lambda: continuous(DdpgAgent, recurrent=True, dqda_clipping=0.5, gradient_clipping=0.5),
    "td3 delayed, with summaries": lambda: continuous(
        Td3Agent, actor_update_period=2, debug_summaries=True, summary_interval=1
    ),
    "sac": lambda: sac(gradient_clipping=0.5),
    "sac lstm, fixed temperature": sac_recurrent,
    "discrete sac masked": discrete_sac_masked,
    "ppo masked": ppo_masked,
    "ppo clipped, lstm": ppo_recurrent,
    "ppo penalty, mixed actions": ppo_with_penalty,
    **EXPLORERS,
}


@functools.lru_cache(maxsize=2)
def first_made(name: str) -> tuple[Agent, Any]:
    made = AGENTS[name]()
    return made, jax.tree.map(np.array, made.get_state())


def as_made(name: str) -> Agent:
    """Returns a row's one agent in the state that it was made in, so that the checks share its compiled programs."""
    made, state = first_made(name)
    made.set_state(state)
    made.train_step_counter.value = 0
    return made


def as_made_and_another(name: str) -> Callable[[], Agent]:
    """Returns a function that gives the row's one agent first, and then one that was made anew."""
    makers = iter((as_made, lambda name: AGENTS[name]()))
    return lambda: next(makers)(name)


@pytest.mark.parametrize(
    ("name", "check"),
    [
        pytest.param(name, check, id=f"{name}-{check.__name__}")
        for name in AGENTS
        for check in testing.AGENT_CHECKS
        if not (name.startswith("linear") and check.__name__.startswith("init_gives_each_seed"))  # a prior is no draw
    ],
)
def test_agent_conforms(name: str, check: Callable[[Any], None]):
    takes_two = check.__name__ == "state_goes_from_one_agent_to_another"
    check(as_made_and_another(name) if takes_two else functools.partial(as_made, name))


@functools.lru_cache(maxsize=2)
def policy_of(name: str, which: str) -> Any:
    return getattr(AGENTS[name](), which)


@pytest.mark.parametrize("check", testing.POLICY_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("which", ["policy", "collect_policy"])
@pytest.mark.parametrize(
    "name", ["dqn nested observations", "dqn masked", "dqn boltzmann", "dqn lstm", "discrete sac masked", *EXPLORERS]
)
def test_policies_of_agents_conform(name: str, which: str, check: Callable[[Any], None]):
    check(lambda: policy_of(name, which))
