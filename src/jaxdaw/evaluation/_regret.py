"""Summary of the regret of a bandit run as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxdaw.evaluation._statistics import bootstrap_interval
from jaxdaw.metrics import RegretSummary


def describe_regret(summaries: Sequence[RegretSummary]) -> list[str]:
    """Returns a few lines about the runs of one bandit, always beside uniform choice, one action for all, and greed.

    Args:
      summaries: one of each seed; their means are told, and an interval of several.
    """
    if not summaries:
        return ["no rounds"]

    def mean(field: str) -> float:
        return float(np.mean([getattr(summary, field) for summary in summaries]))

    def interval(field: str) -> str:
        if len(summaries) == 1:
            return ""
        low, high = bootstrap_interval([getattr(summary, field) for summary in summaries])
        return f" (95 % interval {low:.4g} to {high:.4g} over {len(summaries)} seeds)"

    low, high = summaries[0].reward_interval
    alone = f" (95 % interval {low:.4g} to {high:.4g})" if len(summaries) == 1 else interval("mean_reward")
    return [
        f"regret  {mean('regret'):,.1f}{interval('regret')} in {summaries[0].rounds:,} rounds, "
        f"{mean('relative_regret'):.2f} % of uniform choice",
        f"beside  uniform {mean('uniform_regret'):,.1f}; best single action {mean('constant_regret'):,.1f}; "
        f"the model's best actions alone {mean('greedy_regret'):,.1f}",
        f"reward  {mean('mean_reward'):.4g} a round{alone}; suboptimal {100 * mean('suboptimal_share'):.1f} %, "
        f"exploring {100 * mean('exploration_share'):.1f} %",
    ]
