"""Small agents of continuous actions, and batches for them."""

from typing import Any

import numpy as np
import optax

from jaxdaw import networks, specs, trajectories
from jaxdaw.agents import DdpgAgent, Td3Agent
from jaxdaw.trajectories import Trajectory

OBSERVATION = specs.BoundedTensorSpec((3,), np.float32, -10.0, 10.0, "observation")
STEER = specs.BoundedTensorSpec((2,), np.float32, [-1.0, 0.0], [1.0, 3.0], "steer")
STEP = trajectories.time_step_spec(OBSERVATION)


def actor(action: Any = STEER, **options: Any) -> networks.Network:
    return networks.ActorNetwork(OBSERVATION, action, **{"fc_layer_params": (6,), **options})


def critic(action: Any = STEER, **options: Any) -> networks.Network:
    return networks.CriticNetwork((OBSERVATION, action), **{"joint_fc_layer_params": (7,), **options})


def make(kind: type = Td3Agent, action: Any = STEER, rates: tuple[float, float] = (0.1, 0.1), **options: Any) -> Any:
    """An agent whose actor and critics step by the two rates; values do not start near 0."""
    wide = {"last_kernel_initializer": lambda key, shape, dtype, **_: 0.5 * np.ones(shape, np.float32)}
    given = {
        "actor_network": actor(action) if "actor_network" not in options else None,
        "critic_network": critic(action, **wide) if "critic_network" not in options else None,
        "actor_optimizer": optax.sgd(rates[0]),
        "critic_optimizer": optax.sgd(rates[1]),
        "gamma": 0.9,
        "target_update_tau": 0.5,
    }
    return kind(STEP, action, **{**given, **options})


def batch(rows: int = 4, frames: int = 2, seed: int = 0, **changes: Any) -> Trajectory:
    random = np.random.default_rng(seed)
    made = Trajectory(
        step_type=np.ones((rows, frames), np.int32),
        observation=random.normal(size=(rows, frames, 3)).astype(np.float32),
        action=random.uniform([-1, 0], [1, 3], (rows, frames, 2)).astype(np.float32),
        policy_info=(),
        next_step_type=np.ones((rows, frames), np.int32),
        reward=random.normal(size=(rows, frames)).astype(np.float32),
        discount=np.ones((rows, frames), np.float32),
    )
    return made._replace(**changes)


KINDS = [DdpgAgent, Td3Agent]
