"""A small agent and batches for it."""

import jax
import numpy as np
import optax

from jaxdaw import networks, specs, trajectories
from jaxdaw.agents import DqnAgent
from jaxdaw.trajectories import Trajectory

OBSERVATION = specs.BoundedTensorSpec((3,), np.float32, -10.0, 10.0, "observation")
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 2, "action")
STEP = trajectories.time_step_spec(OBSERVATION)
MASKED = {"obs": OBSERVATION, "mask": specs.BoundedTensorSpec((3,), np.bool_, False, True, "mask")}


def split(observation):
    return observation["obs"], observation["mask"]


def make(kind=DqnAgent, optimizer=None, network=None, **options):
    network = networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,)) if network is None else network
    options.setdefault("target_update_period", 3)
    options.setdefault("gamma", 0.9)
    return kind(STEP, ACTION, network, optax.adam(1e-2) if optimizer is None else optimizer, **options)


def make_masked(kind=DqnAgent, **options):
    network = networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,))
    return kind(
        trajectories.time_step_spec(MASKED),
        ACTION,
        network,
        optax.adam(1e-2),
        observation_and_action_constraint_splitter=split,
        **options,
    )


def batch(rows=4, frames=2, seed=0, **changes):
    random = np.random.default_rng(seed)
    made = Trajectory(
        step_type=np.ones((rows, frames), np.int32),
        observation=random.normal(size=(rows, frames, 3)).astype(np.float32),
        action=random.integers(0, 3, (rows, frames)).astype(np.int32),
        policy_info=(),
        next_step_type=np.ones((rows, frames), np.int32),
        reward=random.normal(size=(rows, frames)).astype(np.float32),
        discount=np.ones((rows, frames), np.float32),
    )
    return made._replace(**changes)


def weights_of(agent):
    return jax.tree.map(np.asarray, agent.get_state()._replace(summaries={}))


def assert_same(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)
