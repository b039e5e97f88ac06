"""CartPole whose velocities are hidden: a clone with memory against one without.

Run: python benchmarks/hidden_velocities.py ROLLOUTS SEEDS, with the CartPole rollouts that the sdist of `imitation`
ships (tests/testdata/expert_models/cartpole_0/rollouts/final.npz).
"""

from __future__ import annotations

import sys

import gymnasium
import numpy as np
from gymnasium.wrappers import TransformObservation

from jaxdaw import data, specs, training
from jaxdaw.evaluation import bootstrap_interval, iqm

SEEN = [0, 2]


def hidden() -> gymnasium.Env:
    world = gymnasium.make("CartPole-v1")
    full = world.observation_space
    space = gymnasium.spaces.Box(full.low[SEEN], full.high[SEEN], dtype=np.float32)
    return TransformObservation(world, lambda observation: observation[SEEN], space)


def main() -> None:
    rollouts, seeds = sys.argv[1], int(sys.argv[2])
    gymnasium.register("HiddenVelocities-v0", entry_point=hidden)
    expert = data.read_demonstrations(rollouts)
    episodes = [
        data.Episode(np.asarray(e.observation)[:, SEEN], e.action, e.reward, e.terminated, e.truncated) for e in expert
    ]
    demonstrations = data.Demonstrations(episodes, specs.TensorSpec((2,), np.float32), expert.action_spec)
    for network in ("mlp", "rnn"):
        means = []
        for seed in range(seeds):
            options = {"normalize": False}  # their units are good as they are
            options |= {"batch_size": 16} if network == "rnn" else {}
            run = training.train(
                "bc",
                demonstrations,
                environment="HiddenVelocities-v0",
                seed=seed,
                network=network,
                eval_every=0,
                eval_episodes=100,
                **options,
            )
            means.append(run.evaluations[-1]["mean_return"])
            print(network, seed, len(run.rows), means[-1], flush=True)
        low, high = bootstrap_interval(np.array(means))
        print(f"{network}: mean {np.mean(means):.1f} ({low:.1f} to {high:.1f}), IQM {iqm(np.array(means)):.1f}")


if __name__ == "__main__":
    main()
