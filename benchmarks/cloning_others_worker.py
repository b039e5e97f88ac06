"""One library's side of cloning_others.py, in an interpreter where that library is installed.

Run: python benchmarks/cloning_others_worker.py LIBRARY discrete|continuous. Reads `train` or `epoch` from stdin, does
that many gradient steps of an MLP of (256, 256) on batches of 256, and answers with the microseconds that each took;
`nan` if the library has no such thing.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable

import numpy as np

BATCH, STEPS, REPEATS, WIDTHS = 256, 100_000, 150, (256, 256)
Run = Callable[[], int]
"""Does gradient steps and returns how many."""


def table(discrete: bool) -> tuple[np.ndarray, np.ndarray]:
    """Observations and actions of random steps: 8 to 4 choices, or 17 to 6 floats."""
    random = np.random.default_rng(0)
    seen = random.standard_normal((STEPS, 8 if discrete else 17), np.float32)
    if discrete:
        return seen, random.integers(0, 4, STEPS).astype(np.int32)
    return seen, random.uniform(-1, 1, (STEPS, 6)).astype(np.float32)


def jaxdaw(seen: np.ndarray, action: np.ndarray, discrete: bool) -> tuple[Run, Run | None]:
    import jax
    import optax

    from jaxdaw import data, networks, specs, trajectories
    from jaxdaw.agents import BehavioralCloningAgent
    from jaxdaw.training import CloningTrainer

    observation = specs.TensorSpec(seen.shape[1:], np.float32)
    if discrete:
        action_spec = specs.BoundedTensorSpec((), np.int32, 0, 3)
        network = networks.QNetwork(observation, action_spec, fc_layer_params=WIDTHS)
    else:
        action_spec = specs.BoundedTensorSpec(action.shape[1:], np.float32, -1.0, 1.0)
        network = networks.ActorNetwork(observation, action_spec, fc_layer_params=WIDTHS)
    step_spec = trajectories.time_step_spec(observation)
    agent = BehavioralCloningAgent(step_spec, action_spec, network, optax.adam(1e-3))
    ones, floats = np.ones(BATCH, np.int32), np.ones(BATCH, np.float32)
    frames = trajectories.Trajectory(ones, seen[:BATCH], action[:BATCH], (), ones, floats, floats)
    episodes = [data.Episode(seen[i : i + 500], action[i : i + 500]) for i in range(0, STEPS, 500)]
    trainer = CloningTrainer(agent, data.Demonstrations(episodes, observation, action_spec), None, BATCH)

    def train() -> int:
        for _ in range(REPEATS):
            info = agent.train(frames)
        jax.block_until_ready((info, agent.get_state()))
        return REPEATS

    def epoch() -> int:
        before = int(trainer.state.train_step)
        return trainer.run().train_step - before

    return train, epoch


def imitation(seen: np.ndarray, action: np.ndarray, discrete: bool) -> tuple[Run, Run | None]:
    import gymnasium
    import torch
    from imitation.algorithms import bc
    from imitation.data.types import Transitions
    from imitation.util.logger import HierarchicalLogger
    from stable_baselines3.common.logger import Logger
    from stable_baselines3.common.policies import ActorCriticPolicy

    space = gymnasium.spaces.Box(-10.0, 10.0, seen.shape[1:])
    actions = gymnasium.spaces.Discrete(4) if discrete else gymnasium.spaces.Box(-1.0, 1.0, action.shape[1:])
    net = {"net_arch": {"pi": list(WIDTHS), "vf": []}, "activation_fn": torch.nn.ReLU}
    infos, ends = np.array([{}] * STEPS), np.zeros(STEPS, bool)
    everything = Transitions(seen, action, infos, seen, ends)
    batch = {"obs": torch.as_tensor(seen[:BATCH]), "acts": torch.as_tensor(action[:BATCH])}

    def make(demonstrations) -> bc.BC:
        return bc.BC(
            observation_space=space,
            action_space=actions,
            rng=np.random.default_rng(0),
            policy=ActorCriticPolicy(space, actions, lambda _: 1e-3, **net),
            demonstrations=demonstrations,
            batch_size=BATCH,
            custom_logger=HierarchicalLogger(Logger(None, [])),
        )

    one, whole = make([batch]), make(everything)
    quiet = {"progress_bar": False, "log_interval": 10**9}

    def train() -> int:
        one.train(n_batches=REPEATS, **quiet)
        return REPEATS

    def epoch() -> int:
        whole.train(n_epochs=1, **quiet)
        return STEPS // BATCH

    return train, epoch


def d3rlpy(seen: np.ndarray, action: np.ndarray, discrete: bool) -> tuple[Run, Run | None]:
    import d3rlpy as library

    library.logging.LOG.disabled = True
    encoder = library.models.encoders.VectorEncoderFactory(list(WIDTHS))
    config = library.algos.DiscreteBCConfig if discrete else library.algos.BCConfig
    algorithm = config(batch_size=BATCH, encoder_factory=encoder, learning_rate=1e-3).create(device="cpu:0")
    ends = np.zeros(STEPS, np.float32)
    cuts = np.zeros(STEPS, np.float32)
    cuts[499::500] = 1.0
    columns = action[:, None] if discrete else action
    dataset = library.dataset.MDPDataset(
        seen, columns, np.zeros(STEPS, np.float32), ends, cuts,
        action_space=library.ActionSpace.DISCRETE if discrete else library.ActionSpace.CONTINUOUS,
    )  # fmt: skip
    algorithm.build_with_dataset(dataset)
    batch = dataset.sample_transition_batch(BATCH)

    def train() -> int:
        for _ in range(REPEATS):
            algorithm.update(batch)
        return REPEATS

    def epoch() -> int:
        updates = STEPS // BATCH
        algorithm.fit(
            dataset, n_steps=updates, n_steps_per_epoch=updates, show_progress=False,
            logger_adapter=library.logging.NoopAdapterFactory(),
        )  # fmt: skip
        return updates

    return train, epoch


def tf_agents(seen: np.ndarray, action: np.ndarray, discrete: bool) -> tuple[Run, Run | None]:
    import tensorflow as tf
    from tf_agents.agents.behavioral_cloning import behavioral_cloning_agent
    from tf_agents.agents.ddpg import actor_network
    from tf_agents.networks import q_network
    from tf_agents.specs import tensor_spec
    from tf_agents.trajectories import time_step, trajectory
    from tf_agents.utils import common

    observation = tensor_spec.TensorSpec(seen.shape[1:], tf.float32)
    if discrete:
        action_spec = tensor_spec.BoundedTensorSpec((), tf.int32, 0, 3)
        network = q_network.QNetwork(observation, action_spec, fc_layer_params=WIDTHS)
    else:
        action_spec = tensor_spec.BoundedTensorSpec(action.shape[1:], tf.float32, -1.0, 1.0)
        network = actor_network.ActorNetwork(observation, action_spec, fc_layer_params=WIDTHS)
    agent = behavioral_cloning_agent.BehavioralCloningAgent(
        time_step.time_step_spec(observation), action_spec, cloning_network=network,
        optimizer=tf.keras.optimizers.legacy.Adam(1e-3), num_outer_dims=1,
    )  # fmt: skip
    agent.initialize()
    compiled = common.function(agent.train)
    ones, floats = tf.ones(BATCH, tf.int32), tf.ones(BATCH)
    batch = tf.constant(seen[:BATCH]), tf.constant(action[:BATCH])
    frames = trajectory.Trajectory(ones, *batch, (), ones, floats, floats)

    def train() -> int:
        for _ in range(REPEATS):
            info = compiled(frames)
        info.loss.numpy()
        return REPEATS

    return train, None


def main() -> None:
    warnings.simplefilter("ignore")
    library, discrete = sys.argv[1], sys.argv[2] == "discrete"
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    makers = {"jaxdaw": jaxdaw, "imitation": imitation, "d3rlpy": d3rlpy, "tf_agents": tf_agents}
    runs = dict(zip(("train", "epoch"), makers[library](*table(discrete), discrete), strict=True))
    for line in sys.stdin:
        run = runs[line.strip()]
        started = time.perf_counter()
        calls = run() if run else 0
        print((time.perf_counter() - started) / calls * 1e6 if calls else float("nan"), file=answers, flush=True)


if __name__ == "__main__":
    main()
