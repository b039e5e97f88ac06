"""A linear bandit agent with known numbers, and decisions for it."""

import jax.numpy as jnp
import numpy as np
import optax

from jaxdaw import networks, specs, trajectories
from jaxdaw.agents import NeuralEpsilonGreedyAgent
from jaxdaw.trajectories import StepType, Trajectory

OBSERVATION = specs.TensorSpec((2,), np.float32, "observation")
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 2, "action")
STEP = trajectories.time_step_spec(OBSERVATION)
ARMS = {
    "global": specs.TensorSpec((2,), np.float32),
    "per_arm": specs.TensorSpec((3, 2), np.float32),
    "num_actions": specs.BoundedTensorSpec((), np.int32, 1, 3),
}
CONTEXTS = np.float32([[1, 2], [3, 4]])
ACTIONS = np.int32([0, 1])
REWARDS = np.float32([8, 11])


def linear():
    """Predicts (10, 13, 16) and (20, 27, 34) for the two contexts."""
    network = networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=None)
    for variable, value in zip(network.variables, ([[1, 2, 3], [4, 5, 6]], [1, 1, 1]), strict=True):
        variable.set_value(jnp.asarray(value, jnp.float32))
    return network


def costs():
    """Predicts (1, 2, 1) and (3, 4, 1) for the two contexts."""
    network = networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=None)
    for variable, value in zip(network.variables, ([[1, 1, 0], [0, 0, 0]], [0, 1, 1]), strict=True):
        variable.set_value(jnp.asarray(value, jnp.float32))
    return network


def constrained(*constraints, optimizer=None, network=None, **options):
    """Agent of rewards `[1 + C]`."""
    step = trajectories.time_step_spec(OBSERVATION, specs.TensorSpec((1 + len(constraints),), np.float32, "reward"))
    return NeuralEpsilonGreedyAgent(
        step,
        ACTION,
        linear() if network is None else network,
        optax.sgd(0.1) if optimizer is None else optimizer,
        0.3,
        constraints=constraints,
        **options,
    )


def make(kind=NeuralEpsilonGreedyAgent, network=None, optimizer=None, **options):
    if kind is NeuralEpsilonGreedyAgent:
        options.setdefault("epsilon", 0.3)
    network = linear() if network is None else network
    return kind(STEP, ACTION, network, optax.sgd(0.1) if optimizer is None else optimizer, **options)


def over_arms(step=None, **options):
    network = networks.GlobalAndArmCommonTowerNetwork(ARMS, (4,), (4,), (4,))
    step = trajectories.time_step_spec(ARMS) if step is None else step
    return NeuralEpsilonGreedyAgent(
        step, ACTION, network, optax.adam(1e-2), 0.3, accepts_per_arm_features=True, **options
    )


def decisions(observation=CONTEXTS, action=ACTIONS, reward=REWARDS, policy_info=(), **changes):
    """Frames `[B, 1, ...]`, each an episode of one action."""
    rows = len(action)
    frames = Trajectory(
        step_type=np.full((rows, 1), StepType.FIRST, np.int32),
        observation=observation[:, None],
        action=action[:, None],
        policy_info=policy_info,
        next_step_type=np.full((rows, 1), StepType.LAST, np.int32),
        reward=reward[:, None],
        discount=np.zeros((rows, 1), np.float32),
    )
    return frames._replace(**changes)
