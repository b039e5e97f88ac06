"""`agent.train` and `agent.train_many` against the same step written by hand. Run: python benchmarks/train_step.py"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import numpy as np
import optax

sys.path.insert(0, str(Path(__file__).parent))
import raw_dqn
from timing import ratio_rounds

from jaxdaw import networks, specs, trajectories
from jaxdaw.agents import DqnAgent


def make(sizes, batch):
    observation = specs.BoundedTensorSpec((sizes[0],), np.float32, -np.inf, np.inf, "observation")
    action = specs.BoundedTensorSpec((), np.int32, 0, sizes[-1] - 1, "action")
    network = networks.QNetwork(observation, action, fc_layer_params=sizes[1:-1])
    agent = DqnAgent(
        trajectories.time_step_spec(observation),
        action,
        network,
        optax.adam(1e-3),
        gamma=0.99,
        target_update_period=500,
    )
    agent.initialize()
    random = np.random.default_rng(0)
    o = random.standard_normal((batch, 2, sizes[0]), np.float32)
    a = random.integers(0, sizes[-1], (batch, 2)).astype(np.int32)
    r = random.standard_normal((batch, 2), np.float32)
    ones = np.ones((batch, 2), np.int32)
    frames = trajectories.Trajectory(ones, o, a, (), ones, r, np.ones((batch, 2), np.float32))
    raw_batch = (o[:, 0], a[:, 0], r[:, 0], np.ones(batch, np.float32), o[:, 1])
    return agent, frames, raw_batch


def main():
    print(f"{'':28s} raw us   jaxdaw us   ratio (min, median, max over rounds)")
    for sizes, batch, calls in (((4, 100, 50, 2), 64, 1000), ((8, 256, 256, 4), 256, 150)):
        agent, frames, raw_batch = make(sizes, batch)
        learner = raw_dqn.init_learner(jax.random.key(0), sizes)

        def raw(learner=learner, raw_batch=raw_batch, calls=calls, box=[None]):  # noqa: B006
            state = box[0] or jax.tree.map(lambda x: x.copy(), learner)
            for _ in range(calls):
                state, _ = raw_dqn.learn_jit(state, raw_batch)
            box[0] = jax.block_until_ready(state)
            return calls

        def ours(agent=agent, frames=frames, calls=calls):
            for _ in range(calls):
                info = agent.train(frames)
            jax.block_until_ready((info, agent.get_state()))
            return calls

        ratio_rounds(f"train {sizes} x {batch}", raw, ours)
        many = 100 if batch == 64 else 50
        stacked = jax.tree.map(lambda x: np.stack([x] * many), frames)  # noqa: B023
        stacked_raw = jax.tree.map(lambda x: np.stack([x] * many), raw_batch)  # noqa: B023

        def raw_scan(learner=learner, stacked_raw=stacked_raw, many=many, box=[None]):  # noqa: B006
            state = box[0] or jax.tree.map(lambda x: x.copy(), learner)
            for _ in range(5):
                state, _ = raw_dqn.learn_scan(state, stacked_raw)
            box[0] = jax.block_until_ready(state)
            return 5 * many

        def ours_scan(agent=agent, stacked=stacked, many=many):
            for _ in range(5):
                info = agent.train_many(stacked)
            jax.block_until_ready((info, agent.get_state()))
            return 5 * many

        ratio_rounds(f"train_many {sizes} x {batch}", raw_scan, ours_scan)


if __name__ == "__main__":
    main()
