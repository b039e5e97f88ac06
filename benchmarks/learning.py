"""What the saved policies are worth, over seeds.

Run: python benchmarks/learning.py ENVIRONMENT SEEDS OUT [--option value ...]

For every seed: trains by `jaxdaw train dqn`, then scores the best evaluated and the final policy over 100 greedy
episodes that training never saw. Prints how many reach the threshold, and the IQM over seeds with its interval.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np

from jaxdaw import environments, evaluation, training


def main() -> None:
    name, seeds, out, *options = sys.argv[1:]
    out = Path(out)
    jaxdaw = [sys.executable, "-m", "jaxdaw"]
    if not (out / "config.json").exists():
        command = [*jaxdaw, "train", "dqn", name, "--seeds", seeds, "--out", str(out), "--quiet", *options]
        subprocess.run(command, check=True)
    spec = gymnasium.registry[name.removeprefix("jax:")]
    world = environments.make(name, num_envs=1 if environments.is_pure(name) else 10)
    table: dict[str, list[float]] = {"best": [], "final": []}
    for directory in sorted(out.glob("seed_*")):
        for which, scores in table.items():
            policy = training.run_policy(directory, which)
            scores.append(evaluation.evaluate(policy, world, 100, seed=1_000_000).mean_return)
    threshold = spec.reward_threshold
    for which, scores in table.items():
        low, high = evaluation.bootstrap_interval(scores, evaluation.iqm)
        reached = f"{sum(s >= threshold for s in scores)} of {len(scores)} reach {threshold}" if threshold else ""
        print(
            f"{name} {which:5s}: {reached}; mean {np.mean(scores):.1f} +- {np.std(scores):.1f}, "
            f"IQM {evaluation.iqm(scores):.1f} (95% {low:.1f} to {high:.1f}), min {min(scores):.1f}"
        )
    (out / "scores.json").write_text(json.dumps(table))


if __name__ == "__main__":
    main()
