"""Of many logs in which no arm is better than another, the share of which a policy that learned from it passes a gate.

Each log is learned from and judged as by the commands: `jaxdaw train bandit --log LOG` keeps a part aside, and
`jaxdaw ope LOG --policy RUN --gate "gain_lower_bound > 0"` is given the whole log. At most 2.5 % may pass.

    python benchmarks/noise_logs.py --logs 200
"""

import argparse

import numpy as np

from jaxdaw.data import Decisions, hold_out
from jaxdaw.evaluation import evaluate_off_policy, passes_gate
from jaxdaw.training import train

GATE = "gain_lower_bound > 0"


def noise(seed: int, rows: int) -> Decisions:
    """Returns uniform choices among four arms, of which each pays in 3 of 10 cases whatever the context is."""
    random = np.random.default_rng(seed)
    return Decisions(
        action=random.integers(0, 4, rows),
        reward=(random.random(rows) < 0.3).astype(float),
        probability=np.full(rows, 0.25),
        context=random.normal(size=(rows, 4)).astype(np.float32),
        num_arms=4,
        time=np.arange(rows, dtype=float),
    )


def passes(decisions: Decisions, policy: object) -> bool:
    """Returns whether a policy passes the gate on a log."""
    report = evaluate_off_policy(decisions, {"new": policy}, estimators=("dr",))
    return report.candidates[0].is_trusted and passes_gate(GATE, report.figures("new"))


def count_passes(logs: int, rows: int = 1_000, *, forgets: bool = False) -> int:
    """Returns how many logs let the policy pass that learned from seven tenths of them.

    Args:
      logs: how many.
      rows: of each.
      forgets: judge on the whole log, as if it were not known what was learned from.
    """
    found = 0
    for seed in range(logs):
        decisions = noise(seed, rows)
        learned, _ = hold_out(decisions, 0.3)
        policy = train("bandit", learned, exploration="greedy", fc_layer_params=(16,), reports=1, seed=seed).policy
        if forgets:
            policy.learned_keys = None
        found += passes(decisions, policy)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=int, default=200)
    logs = parser.parse_args().logs
    print(f"judged by what it has not seen: {count_passes(logs)} of {logs} pass")
    print(f"judged by the whole log:        {count_passes(logs, forgets=True)} of {logs} pass")
