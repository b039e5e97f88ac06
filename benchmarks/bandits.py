"""Regret of one pass over real tables. Run: python benchmarks/bandits.py [NAME ...] [--path FOLDER]

One set of options for all, the defaults of `BanditConfig`; they were chosen on tables such as `synthetic` makes, never
on these. The bars are LinUCB's cumulative 0/1 regret on the same tables (disjoint, ridge 1, alpha 0.25, features
standardized), of Shuttle that of Vowpal Wabbit's regcbopt, and of the wheel the relative regret of NeuralLinear
(Riquelme et al. 2018).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import time

import numpy as np

from jaxdaw.environments import ClassificationBandit
from jaxdaw.evaluation import bootstrap_interval
from jaxdaw.training import BanditConfig, train

# name: rounds (0 is one pass), bar, options of the bandit
TABLES = {
    "shuttle": (15_000, 696.0),
    "magic": (15_000, 3119.0),
    "penbased": (0, 1202.0),
    "letter": (15_000, 6369.0),
    "optdigits": (0, 682.0),
    "mushroom": (0, 18.0 * 1.1),
    "wheel": (80_000, 9.56),
}


def synthetic(kind: str, classes: int, size: int, rows: int = 8_000, seed: int = 0, tails: float = 0.0):
    """A labelled table: clusters, a random network's choice, a linear rule over rare flags, or descriptions of species.

    Of a species every column allows one to three words, of which each row has one; words are one-hot.
    """
    random = np.random.default_rng(seed)
    if kind == "clusters":
        near = min(1.0, 2.9 / math.sqrt(size))
        centres = random.standard_normal((classes * 3, size)) * 1.6 * near
        weights = np.exp(-0.5 * np.arange(classes))
        labels = random.choice(classes, rows, p=weights / weights.sum())
        features = centres[labels * 3 + random.integers(0, 3, rows)]
        features = features + random.standard_normal((rows, size)) * 0.55 * min(1.0, 3.5 / math.sqrt(size))
    elif kind == "network":
        features = random.standard_normal((rows, size))
        hidden = np.tanh(features @ random.standard_normal((size, 32)) * 1.5 / math.sqrt(size))
        values = hidden @ random.standard_normal((32, classes))
        labels = ((values - values.mean(axis=0)) / values.std(axis=0)).argmax(axis=1)
    elif kind == "species":
        species, words = classes * 11, random.integers(2, 9, size)
        owner = random.permutation(np.arange(species) % classes)
        kinds = random.integers(0, species, rows)
        columns = []
        for count in words:
            taste = 2.0 * random.standard_normal((classes, count))[owner] + random.gumbel(size=(species, count))
            allowed = taste.argsort(axis=1)[:, ::-1][:, : min(3, count)]  # of each species, and alike in a class
            chosen = allowed[kinds, random.integers(0, random.integers(1, min(3, count) + 1, species)[kinds])]
            columns.append(chosen[:, None] == np.arange(count))
        return ClassificationBandit(np.concatenate(columns, axis=1).astype(np.float32), owner[kinds], classes)
    else:
        features = (random.random((rows, size)) < 0.2).astype(float)
        values = features @ random.standard_normal((size, classes))
        labels = (values - values.mean(axis=0)).argmax(axis=1)
    if tails:
        features = np.sign(features) * np.expm1(np.abs(features) * tails)
    features = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-9)
    return ClassificationBandit(features.astype(np.float32), labels.astype(np.int32), classes)


SYNTHETIC = {
    "clusters_7": lambda: synthetic("clusters", 7, 9, tails=1.5),
    "clusters_26": lambda: synthetic("clusters", 26, 16),
    "network_10": lambda: synthetic("network", 10, 16),
    "linear_2": lambda: synthetic("linear", 2, 100),
    "species_2": lambda: synthetic("species", 2, 22),
}


def measure(name: str, bandit, rounds: int, bar: float | None, seeds: int, config: BanditConfig, options: dict) -> None:
    """Prints the regret of one bandit as a line of JSON."""
    started = time.perf_counter()
    config = dataclasses.replace(config, horizon=rounds)
    run = train("bandit", bandit, config=config, seeds=seeds, bandit_options=options)
    relative = name == "wheel"
    field = "relative_regret" if relative else "regret"
    values = [getattr(summary, field) for summary in run.summaries]
    low, high = bootstrap_interval(values)

    def mean(field: str) -> float:
        return round(float(np.mean([getattr(summary, field) for summary in run.summaries])), 1)

    told = {
        "bandit": name, "rounds": run.summaries[0].rounds, "seeds": seeds, field: round(float(np.mean(values)), 2),
        "standard_deviation": round(float(np.std(values)), 2), "interval": [round(low, 2), round(high, 2)],
        "bar": bar, "met": None if bar is None else bool(np.mean(values) <= bar), "greedy": mean("greedy_regret"),
        "constant": mean("constant_regret"), "uniform": mean("uniform_regret"),
        "exploring": round(100 * float(np.mean([s.exploration_share for s in run.summaries])), 2),
        "rounds_per_second": round(run.rounds_per_second), "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip
    print(json.dumps(told), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=[*TABLES])
    parser.add_argument("--path", help="folder that holds tables whose packages are not installed")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--options", default="{}", help="fields of BanditConfig, as JSON")
    arguments = parser.parse_args()
    config = BanditConfig(**json.loads(arguments.options))
    for name in arguments.names:
        if name in SYNTHETIC:
            measure(name, SYNTHETIC[name](), 4_000, None, arguments.seeds, config, {})
        else:
            rounds, bar = TABLES[name]
            in_folder = arguments.path and name != "wheel"
            options = {"delta": 0.95} if name == "wheel" else {"path": arguments.path} if in_folder else {}
            measure(name, name, rounds, bar, arguments.seeds, config, options)


if __name__ == "__main__":
    main()
