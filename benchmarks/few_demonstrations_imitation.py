"""The part of few_demonstrations.py that runs where `imitation` is installed, and jaxdaw is not.

Reads lines of JSON from stdin, {"environment", "rollouts", "episodes": [indices], "seed", "updates"}, and answers each
with a line: {"returns": [...], "seconds"}. Behavioral cloning with the library's defaults: an MLP of (32, 32), Adam at
1e-3, batches of 32, an entropy bonus of 1e-3. How long to train has no default there.
"""

from __future__ import annotations

import json
import sys
import time

import gymnasium
import numpy as np
import torch
from imitation.algorithms import bc
from imitation.data.types import Transitions
from imitation.util.logger import HierarchicalLogger
from stable_baselines3.common.logger import Logger

EVALUATION_EPISODES = 100


def transitions(path: str, chosen: list[int]) -> Transitions:
    with np.load(path) as arrays:  # each array on its own: infos, which are pickled, are never asked for
        observation, action, cuts = (arrays[name] for name in ("obs", "acts", "indices"))
    starts = np.concatenate([[0], cuts])
    stops = np.concatenate([cuts, [len(action)]])
    steps = np.concatenate([np.arange(starts[e], stops[e]) for e in chosen])
    episode = np.concatenate([np.full(stops[e] - starts[e], e) for e in chosen])
    last = np.isin(steps, stops - 1)
    infos = np.array([{}] * len(steps))
    return Transitions(observation[steps + episode], action[steps], infos, observation[steps + episode + 1], last)


def evaluate(policy, environment: str, seed: int) -> list[float]:
    """Returns of greedy episodes, all side by side."""
    worlds = [gymnasium.make(environment) for _ in range(EVALUATION_EPISODES)]
    seen = np.stack([world.reset(seed=seed + index)[0] for index, world in enumerate(worlds)])
    returns, going = np.zeros(len(worlds)), np.ones(len(worlds), bool)
    while going.any():
        actions, _ = policy.predict(seen[going], deterministic=True)
        for index, action in zip(np.flatnonzero(going), actions):
            seen[index], reward, terminated, truncated, _ = worlds[index].step(action)
            returns[index] += reward
            going[index] = not (terminated or truncated)
    return returns.tolist()


def main() -> None:
    torch.set_num_threads(1)  # networks of this size are slower with more
    for line in sys.stdin:
        task = json.loads(line)
        torch.manual_seed(task["seed"])
        world = gymnasium.make(task["environment"])
        trainer = bc.BC(
            observation_space=world.observation_space,
            action_space=world.action_space,
            rng=np.random.default_rng(task["seed"]),
            demonstrations=transitions(task["rollouts"], task["episodes"]),
            custom_logger=HierarchicalLogger(Logger(None, [])),
        )
        started = time.perf_counter()
        trainer.train(n_batches=task["updates"], progress_bar=False)
        seconds = time.perf_counter() - started
        returns = evaluate(trainer.policy, task["environment"], 1_000_000 + 1_000 * task["seed"])
        print(json.dumps({"returns": returns, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
