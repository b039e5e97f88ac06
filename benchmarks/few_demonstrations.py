"""Return against the number of expert episodes: `jaxdaw train bc` with its defaults beside `imitation`'s cloning.

Run: python benchmarks/few_demonstrations.py EXPERTS --python INTERPRETER [--seeds 10] [--results FILE] [--plot PNG]

EXPERTS is tests/testdata/expert_models of imitation's sdist, INTERPRETER a Python in which imitation 1.0.1 is
installed. For every seed both libraries get the same randomly drawn episodes, and their policies 100 greedy episodes.
`imitation` has defaults for all but how long to train; it gets as many gradient steps as jaxdaw's default makes of
small data, 6,000. Results in FILE are not computed again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from jaxdaw import data, training
from jaxdaw.evaluation import bootstrap_interval, iqm

ENVIRONMENTS = {"CartPole-v1": "cartpole_0", "Pendulum-v1": "pendulum_0"}
SIZES = (1, 2, 5, 10, 25, 57)  # the last is all: of Pendulum there are 56
UPDATES = 6_000
COLORS = {"jaxdaw": "#2b6cb0", "imitation": "#a0aec0"}


def ours(environment: str, expert: data.Demonstrations, chosen: np.ndarray, seed: int) -> dict:
    started = time.perf_counter()
    run = training.train(
        "bc", expert.select(chosen), environment=environment, seed=seed, eval_every=0, eval_episodes=100
    )
    return {"returns": run.evaluations[-1]["returns"], "seconds": time.perf_counter() - started}


def measure(options: argparse.Namespace) -> dict[tuple[str, str, int, int], float]:
    """Mean return of each (library, environment, episodes, seed)."""
    path = Path(options.results)
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    means = {tuple(row["run"]): float(np.mean(row["returns"])) for row in rows}
    beside = Path(__file__).with_name("few_demonstrations_imitation.py")
    command = [options.python, "-W", "ignore", str(beside)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other,
        path.open("a") as out,
    ):

        def keep(run: tuple[str, str, int, int], row: dict) -> None:
            means[run] = float(np.mean(row["returns"]))
            print(*run, f"{means[run]:.1f}", file=sys.stderr, flush=True)
            print(json.dumps({"run": run, **row}), file=out, flush=True)

        for seed, (environment, directory) in itertools.product(range(options.seeds), ENVIRONMENTS.items()):
            rollouts = Path(options.experts, directory, "rollouts", "final.npz").resolve()
            expert = data.read_demonstrations(rollouts)
            order = np.random.default_rng(seed).permutation(len(expert))
            missing = [size for size in SIZES if ("imitation", environment, size, seed) not in means]
            for size in missing:  # it works while jaxdaw does
                task = {"environment": environment, "rollouts": str(rollouts), "seed": seed, "updates": UPDATES}
                print(json.dumps(task | {"episodes": np.sort(order[:size]).tolist()}), file=other.stdin, flush=True)
            for size in SIZES:
                if ("jaxdaw", environment, size, seed) not in means:
                    keep(("jaxdaw", environment, size, seed), ours(environment, expert, np.sort(order[:size]), seed))
            for size in missing:
                keep(("imitation", environment, size, seed), json.loads(other.stdout.readline()))
    return means


def table_of(means: dict, environment: str, seeds: int) -> dict[str, np.ndarray]:
    """For each library `[sizes, 3]`: the IQM over seeds, and its interval."""
    tables = {}
    for library in COLORS:
        by_size = [[means[library, environment, size, seed] for seed in range(seeds)] for size in SIZES]
        tables[library] = np.array([(iqm(scores), *bootstrap_interval(scores, iqm)) for scores in by_size])
    return tables


def plot(tables: dict[str, dict[str, np.ndarray]], experts: dict[str, float], seeds: int, path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(tables), figsize=(9, 3.8), dpi=150)
    for axes, (environment, by_library) in zip(panels, tables.items(), strict=True):
        for library, table in by_library.items():
            axes.fill_between(SIZES, table[:, 1], table[:, 2], color=COLORS[library], alpha=0.2, lw=0)
            axes.plot(SIZES, table[:, 0], color=COLORS[library], lw=2, marker="o", ms=4, label=library)
        axes.axhline(experts[environment], color="#718096", lw=1, ls="--", zorder=1, label="the expert, mean")
        axes.set_xscale("log")
        axes.set_xticks(SIZES, [str(size) for size in SIZES], minor=False)
        axes.minorticks_off()
        axes.set_xlabel("expert episodes")
        axes.set_title(environment, loc="left", fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#edf2f7")
        axes.set_axisbelow(True)
    panels[0].set_ylabel(f"return: IQM over {seeds} seeds, 95 %")
    panels[-1].legend(frameon=False, fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experts")
    parser.add_argument("--python", required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--results", default="few_demonstrations.jsonl")
    parser.add_argument("--plot")
    options = parser.parse_args()
    means = measure(options)
    tables = {environment: table_of(means, environment, options.seeds) for environment in ENVIRONMENTS}
    experts = {}
    for environment, directory in ENVIRONMENTS.items():
        returns = data.read_demonstrations(Path(options.experts, directory, "rollouts", "final.npz")).returns
        experts[environment] = float(np.mean(returns))
        print(f"{environment}, IQM over {options.seeds} seeds (95 %); the expert's mean {experts[environment]:.1f}")
        print("| episodes | " + " | ".join(COLORS) + " |\n|" + "---|" * (1 + len(COLORS)))
        for row, size in enumerate(SIZES):
            cells = ["{:.1f} ({:.1f} to {:.1f})".format(*tables[environment][library][row]) for library in COLORS]
            print(f"| {min(size, len(returns))} | " + " | ".join(cells) + " |")
    if options.plot:
        plot(tables, experts, options.seeds, options.plot)


if __name__ == "__main__":
    main()
