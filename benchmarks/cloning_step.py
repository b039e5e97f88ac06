"""Cloning: `agent.train` and an epoch against the same written by hand. Run: python benchmarks/cloning_step.py"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

sys.path.insert(0, str(Path(__file__).parent))
from timing import ratio_rounds

from jaxdaw import data, networks, specs, trajectories
from jaxdaw.agents import BehavioralCloningAgent
from jaxdaw.training._cloning_trainer import CloningTrainer

BATCH, STEPS = 256, 100_000


def problem(size: int, outputs: int, discrete: bool):
    """A table of random steps, and the specs of its columns."""
    random = np.random.default_rng(0)
    seen = random.standard_normal((STEPS, size), np.float32)
    if discrete:
        spec = specs.BoundedTensorSpec((), np.int32, 0, outputs - 1)
        return seen, random.integers(0, outputs, STEPS).astype(np.int32), spec
    spec = specs.BoundedTensorSpec((outputs,), np.float32, -1.0, 1.0)
    return seen, random.uniform(-1, 1, (STEPS, outputs)).astype(np.float32), spec


def make_raw(size: int, outputs: int, discrete: bool):
    """An MLP, its loss and Adam, as one would write them by hand."""
    keys, widths = jax.random.split(jax.random.key(0), 3), (size, 256, 256, outputs)
    params = [
        (jax.random.normal(k, (a, b)) / math.sqrt(a), jnp.zeros(b))
        for k, a, b in zip(keys, widths[:-1], widths[1:], strict=True)
    ]
    optimizer = optax.adam(1e-3)

    def loss(params, seen, action):
        x = seen
        for kernel, bias in params[:-1]:
            x = jax.nn.relu(x @ kernel + bias)
        x = x @ params[-1][0] + params[-1][1]
        if discrete:
            return optax.softmax_cross_entropy_with_integer_labels(x, action).mean()
        return jnp.mean(jnp.square(jnp.tanh(x) - action))

    def step(state, batch):
        params, moments = state
        value, gradients = jax.value_and_grad(loss)(params, *batch)
        updates, moments = optimizer.update(gradients, moments)
        return (optax.apply_updates(params, updates), moments), value

    return (params, optimizer.init(params)), step


def main():
    print(f"{'':28s} raw us   jaxdaw us   ratio (min, median, max over rounds)")
    for size, outputs, discrete in ((8, 4, True), (17, 6, False)):
        seen, action, action_spec = problem(size, outputs, discrete)
        observation = specs.TensorSpec((size,), np.float32)
        if discrete:
            network = networks.QNetwork(observation, action_spec, fc_layer_params=(256, 256))
        else:
            network = networks.ActorNetwork(observation, action_spec, fc_layer_params=(256, 256))
        step_spec = trajectories.time_step_spec(observation)
        agent = BehavioralCloningAgent(step_spec, action_spec, network, optax.adam(1e-3))
        ones = np.ones(BATCH, np.int32)
        floats = np.ones(BATCH, np.float32)
        batch = seen[:BATCH], action[:BATCH]
        frames = trajectories.Trajectory(ones, *batch, (), ones, floats, floats)
        state, step = make_raw(size, outputs, discrete)
        compiled = jax.jit(step, donate_argnums=0)
        box = [jax.tree.map(jnp.copy, state)]

        def raw(compiled=compiled, batch=batch, box=box):
            for _ in range(150):
                box[0], _ = compiled(box[0], batch)
            jax.block_until_ready(box[0])
            return 150

        def ours(agent=agent, frames=frames):
            for _ in range(150):
                info = agent.train(frames)
            jax.block_until_ready((info, agent.get_state()))
            return 150

        kind = "discrete" if discrete else "continuous"
        ratio_rounds(f"train {kind} {size}-(256, 256)-{outputs}", raw, ours)

        episodes = [data.Episode(seen[i : i + 500], action[i : i + 500]) for i in range(0, STEPS, 500)]
        trainer = CloningTrainer(agent, data.Demonstrations(episodes, observation, action_spec), None, BATCH)
        everything = jax.device_put((seen, action))
        updates = STEPS // BATCH

        def epoch_by_hand(state, everything, order, step=step):
            def by_rows(state, rows):
                return step(state, jax.tree.map(lambda x: x[rows], everything))

            return jax.lax.scan(by_rows, state, order)

        scanned, orders = jax.jit(epoch_by_hand, donate_argnums=0), np.random.default_rng(0)
        hand = [jax.tree.map(jnp.copy, state)]

        def raw_epoch(scanned=scanned, everything=everything, hand=hand, orders=orders, updates=updates):
            order = orders.permutation(STEPS)[: updates * BATCH].reshape(updates, BATCH).astype(np.int32)
            hand[0], _ = scanned(hand[0], everything, order)
            jax.block_until_ready(hand[0])
            return updates

        def our_epoch(trainer=trainer):
            before = int(trainer.state.train_step)
            return trainer.run().train_step - before

        ratio_rounds(f"epoch {kind}, per update", raw_epoch, our_epoch, rounds=9)


if __name__ == "__main__":
    main()
