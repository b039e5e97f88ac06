"""How long a log takes to be read, audited and evaluated, and how much memory.

python benchmarks/log_speed.py --rows 1000000
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from jaxdaw import specs
from jaxdaw.data import Decisions, DecisionWriter, audit, read_decisions
from jaxdaw.evaluation import evaluate_off_policy

ESTIMATORS = ("ips", "snips", "dm", "dr", "switch_dr")


def make_log(rows: int, arms: int, features: int, seed: int = 0) -> Decisions:
    """Returns a log of a softmax policy on normal contexts."""
    random = np.random.default_rng(seed)
    context = random.normal(size=(rows, features)).astype(np.float32)
    coefficients = random.normal(size=(2, features, arms)).astype(np.float32) * 0.3
    weights = np.exp(context @ coefficients[0])
    probabilities = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    action = np.minimum((probabilities.cumsum(axis=1) < random.random((rows, 1))).sum(axis=1), arms - 1)
    click = 1 / (1 + np.exp(-(context @ coefficients[1])[np.arange(rows), action]))
    ids = np.char.mod("%08d", np.arange(rows))
    return Decisions(
        action, random.random(rows) < click, context=context, probabilities=probabilities, decision_id=ids,
        time=1.7e9 + np.arange(rows),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--arms", type=int, default=10)
    parser.add_argument("--features", type=int, default=10)
    parser.add_argument("--file-format", choices=("parquet", "jsonl"), default="parquet")
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--log", type=Path, help="A log to read in place of writing one.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = options.log or Path(directory) / "log"
        if options.log is None:
            log = make_log(options.rows, options.arms, options.features)
            spec = specs.TensorSpec((options.features,), np.float32)
            with DecisionWriter(path, options.arms, spec, file_format=options.file_format) as writer:
                for start in range(0, options.rows, 100_000):
                    writer.extend(log.select(slice(start, start + 100_000)))
            del log
        marks, began = [time.perf_counter()], time.process_time()
        decisions = read_decisions(path)
        marks.append(time.perf_counter())
        assert audit(decisions).passed
        marks.append(time.perf_counter())
        report = evaluate_off_policy(
            decisions, {"uniform": "uniform"}, estimators=ESTIMATORS, resamples=options.resamples
        )
        marks.append(time.perf_counter())
    processor = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** (20 if sys.platform == "linux" else 30)
    read, tested, judged = np.diff(marks)
    print(
        f"{len(decisions):,} rows: read {read:.1f} s, audit {tested:.1f} s, {len(ESTIMATORS)} estimators with "
        f"{options.resamples} resamples {judged:.1f} s, together {marks[-1] - marks[0]:.1f} s "
        f"({processor:.1f} s of processor time); peak {peak:.2f} GiB"
    )
    print(f"dr {report.candidates[0].estimates['dr'].value:.5f} {report.candidates[0].estimates['dr'].interval}")


if __name__ == "__main__":
    main()
