"""How fast bandits learn and decide. Run: python benchmarks/bandit_speed.py [--path FOLDER] [steps|passes]

`steps`: training a reward model and deciding, beside the same written by hand. `passes`: one pass online with the
defaults of `BanditConfig` over 15,000 rows of Shuttle (or, without the package, of a generated table of the same
shape), and what thirty seeds cost in the time of one, after compilation. The ratio is told in CPU time too, which other
programs on the machine disturb less: two cores that share the seeds halve it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

sys.path.insert(0, str(Path(__file__).parent))
import raw_dqn
from bandits import synthetic
from timing import ratio_rounds

from jaxdaw import networks, specs
from jaxdaw.agents import NeuralEpsilonGreedyAgent
from jaxdaw.data import load_table
from jaxdaw.environments import ClassificationBandit
from jaxdaw.training import BanditConfig, train
from jaxdaw.trajectories import StepType, Trajectory, restart, time_step_spec

CONTEXT, ARMS, LAYERS, BATCH, DECISIONS, EPSILON = 20, 10, (64, 64), 128, 1024, 0.1
OPTIMIZER = optax.adam(1e-3)


def learn(params, opt, context, action, reward):
    """The gradient step by hand: the squared error of the chosen arm's reward."""

    def loss_fn(params):
        predicted = jnp.take_along_axis(raw_dqn.mlp(params, context), action[:, None], 1)[:, 0]
        return jnp.mean((predicted - reward) ** 2)

    loss, gradients = jax.value_and_grad(loss_fn)(params)
    updates, opt = OPTIMIZER.update(gradients, opt, params)
    return optax.apply_updates(params, updates), opt, loss


def decide(params, context, seed):
    """Epsilon-greedy decisions by hand, and their propensities."""
    greedy = raw_dqn.mlp(params, context).argmax(-1)
    key_explore, key_arm = jax.random.split(jax.random.key(seed))
    explores = jax.random.uniform(key_explore, greedy.shape) < EPSILON
    action = jnp.where(explores, jax.random.randint(key_arm, greedy.shape, 0, ARMS), greedy)
    return action, jnp.where(action == greedy, 1 - EPSILON, 0.0) + EPSILON / ARMS


def steps() -> None:
    """Prints a gradient step and a batch of decisions beside those by hand."""
    observation = specs.TensorSpec((CONTEXT,), np.float32, "observation")
    action_spec = specs.BoundedTensorSpec((), np.int32, 0, ARMS - 1, "action")
    network = networks.QNetwork(observation, action_spec, fc_layer_params=LAYERS)
    agent = NeuralEpsilonGreedyAgent(
        time_step_spec(observation), action_spec, network, optax.adam(1e-3), epsilon=EPSILON,
        emit_policy_info=("log_probability",),
    )  # fmt: skip
    agent.initialize()
    random = np.random.default_rng(0)
    context = random.standard_normal((BATCH, CONTEXT), np.float32)
    action = random.integers(0, ARMS, BATCH).astype(np.int32)
    reward = random.standard_normal(BATCH, np.float32)
    frames = Trajectory(
        step_type=np.full((BATCH, 1), StepType.FIRST, np.int32),
        observation=context[:, None],
        action=action[:, None],
        policy_info=specs.map_structure(lambda s: np.zeros((BATCH, 1), s.dtype), agent.training_data_spec.policy_info),
        next_step_type=np.full((BATCH, 1), StepType.LAST, np.int32),
        reward=reward[:, None],
        discount=np.zeros((BATCH, 1), np.float32),
    )
    params = raw_dqn.init_mlp(jax.random.key(0), (CONTEXT, *LAYERS, ARMS))
    learn_jit, decide_jit = jax.jit(learn, donate_argnums=(0, 1)), jax.jit(decide)
    box = [jax.tree.map(jnp.copy, params), OPTIMIZER.init(params)]

    def raw_train() -> int:
        for _ in range(300):
            box[0], box[1], _ = learn_jit(*box, context, action, reward)
        jax.block_until_ready(box)
        return 300

    def our_train() -> int:
        for _ in range(300):
            agent.train(frames)
        jax.block_until_ready(agent.get_state())
        return 300

    seen = random.standard_normal((DECISIONS, CONTEXT), np.float32)
    time_step = restart(seen, batch_size=DECISIONS)

    def raw_decide() -> int:
        for seed in range(100):
            chosen, probability = decide_jit(params, seen, np.uint32(seed))
            jax.device_get((chosen, probability))
        return 100

    def our_decide() -> int:
        for seed in range(100):
            agent.collect_policy.action(time_step, seed=seed)  # what NumPy asks, NumPy is told
        return 100

    print(f"{'':44s} raw us   jaxdaw us   ratio (median, min to max over rounds)")
    sizes = f"{CONTEXT}-{'-'.join(map(str, LAYERS))}-{ARMS}"
    ratio_rounds(f"train {sizes} x {BATCH}", raw_train, our_train)
    ratio_rounds(f"{DECISIONS} decisions with propensities", raw_decide, our_decide)


def passes(path: str | None, rounds: int = 5) -> None:
    """Prints rounds a second of one seed, and what thirty seeds cost in the time of one."""
    try:
        table = load_table("shuttle", path)
        name, bandit = "shuttle", ClassificationBandit(table.features, table.labels, table.num_classes)
    except ImportError:
        name, bandit = "generated", synthetic("clusters", 7, 9, rows=58_000, tails=1.5)
    found: dict[int, list[tuple[float, float]]] = {1: [], 30: []}
    with tempfile.TemporaryDirectory() as cache:
        jax.config.update("jax_compilation_cache_dir", cache)  # so that only the first round compiles
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        for _ in range(rounds):
            for seeds, times in found.items():
                marks: list[float] = []
                run = train("bandit",
                    bandit, config=BanditConfig(horizon=15_000), seeds=seeds,
                    watch=lambda row, marks=marks: marks.append(time.process_time()),
                )  # fmt: skip
                chunks = np.diff(marks)[1:]  # before the first of them the program of chunks is compiled
                wall = seeds * 15_000 / run.rounds_per_second
                times.append((wall, float(np.median(chunks))))
    wall = {seeds: np.array([time[0] for time in times]) for seeds, times in found.items()}
    cpu = {seeds: float(np.median([time[1] for time in times])) for seeds, times in found.items()}
    ratios = wall[30] / wall[1]
    print(
        f"{name}: {15_000 / np.median(wall[1]):,.0f} rounds/s ({15_000 / wall[1].max():,.0f} to "
        f"{15_000 / wall[1].min():,.0f}); 30 seeds in {np.median(ratios):.1f} ({ratios.min():.1f} to "
        f"{ratios.max():.1f}) times the time of one, in {cpu[30] / cpu[1]:.1f} times its CPU time"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", default=["steps", "passes"])
    parser.add_argument("--path", help="folder that holds mlbench's tables")
    arguments = parser.parse_args()
    if "steps" in arguments.parts:
        steps()
    if "passes" in arguments.parts:
        passes(arguments.path)


if __name__ == "__main__":
    main()
