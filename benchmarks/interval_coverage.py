"""How often 95 % intervals hold the true value, for clicks of several rates, numbers of rows and weights.

python benchmarks/interval_coverage.py --logs 400
"""

import argparse
import itertools

import numpy as np

from jaxdaw.data import Decisions
from jaxdaw.evaluation import Estimate, Interval, evaluate_off_policy

RATES, ROWS = (0.001, 0.005, 0.02, 0.1), (500, 1_500, 5_000, 50_000)
LOGGED = {"even": (0.5, 0.3, 0.2), "heavy": (0.9, 0.08, 0.02)}
CANDIDATE = np.array([0.2, 0.3, 0.5])


def judge(rate: float, rows: int, logged: tuple[float, ...], seed: int) -> tuple[Estimate, float]:
    """Returns what a log of clicks says about the candidate by inverse propensities, and the truth."""
    random, probabilities = np.random.default_rng(seed), np.array(logged)
    clicks = rate * np.array([1.0, 1.5, 0.5])
    action = random.choice(3, rows, p=probabilities)
    decisions = Decisions(action, random.random(rows) < clicks[action], probabilities=np.tile(probabilities, (rows, 1)))
    report = evaluate_off_policy(
        decisions, {"it": np.tile(CANDIDATE, (rows, 1))}, estimators=("ips",), reward_range=(0, 1), seed=seed
    )
    return report.candidates[0].estimates["ips"], float(CANDIDATE @ clicks)


def holds(interval: Interval | None, truth: float) -> bool:
    """Returns whether an interval holds the truth."""
    return interval is not None and interval.low <= truth <= interval.high


def coverage(rate: float, rows: int, logged: tuple[float, ...], logs: int) -> dict[str, float]:
    """Returns the shares of logs whose intervals hold the truth, and which are called reliable."""
    found = [judge(rate, rows, logged, seed) for seed in range(logs)]
    reliable = [holds(one.interval, truth) for one, truth in found if one.is_reliable]
    return {
        "bootstrap": float(np.mean([holds(one.interval, truth) for one, truth in found])),
        "reliable": len(reliable) / logs,
        "bootstrap, if reliable": float(np.mean(reliable)) if reliable else np.nan,
        "empirical Bernstein": float(np.mean([holds(one.bernstein, truth) for one, truth in found])),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=int, default=400)
    logs = parser.parse_args().logs
    print("| weights | click rate | rows | bootstrap | called reliable | bootstrap of these | empirical Bernstein |")
    print("|---|---|---|---|---|---|---|")
    for (name, logged), rate, rows in itertools.product(LOGGED.items(), RATES, ROWS):
        shares = " | ".join(f"{share:.1%}" for share in coverage(rate, rows, logged, logs).values())
        print(f"| {name} | {rate:.1%} | {rows:,} | {shares} |", flush=True)
