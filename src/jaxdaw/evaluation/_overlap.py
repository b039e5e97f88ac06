"""Overlap of a candidate policy with a log: importance weights, effective sample size, unsupported arms."""

from __future__ import annotations

import dataclasses
from math import erfc, sqrt
from typing import Any

import numpy as np

from jaxdaw import math
from jaxdaw.data import Decisions

_MIN_SAMPLE_SIZE = 100.0
_MIN_SHARE = 0.001
_DOMINATED = 0.1
_UNSUPPORTED = 0.01
_ALPHA = 1e-4
_SURE = 2.0  # standard errors


@dataclasses.dataclass(frozen=True)
class Overlap:
    """What the weights of a candidate are like.

    Attributes:
      num_decisions: N.
      effective_sample_size: with how many unweighted rows the estimate is as sure.
      largest_weight: of all rows.
      largest_share: of the sum of the weights, that one row has.
      mean_weight: if the logged probabilities are right, 1 less what is unsupported, but for chance.
      mean_weight_p: the p value of that.
      unsupported: the share of the candidate's choices that the log cannot have made. Where only the probabilities of
        chosen arms are known, the most that it can be: the share of arms that the log never shows, if the mean weight
        leaves room for as much.
      arm_count: `[A]`, rows of each arm.
      arm_logged: `[A]`, the mean logged probability of each arm; its frequency where only the chosen one's is known.
      arm_candidate: `[A]`, the candidate's mean probability.
      arm_effective: `[A]`, effective sample size among the rows of each arm.
      arm_largest: `[A]`, the largest weight among them.
    """

    num_decisions: int
    effective_sample_size: float
    largest_weight: float
    largest_share: float
    mean_weight: float
    mean_weight_p: float
    unsupported: float
    arm_count: np.ndarray
    arm_logged: np.ndarray
    arm_candidate: np.ndarray
    arm_effective: np.ndarray
    arm_largest: np.ndarray

    def reasons(self) -> tuple[str, ...]:
        """Returns why an estimate with this overlap is not to be trusted."""
        found = []
        share = self.effective_sample_size / max(self.num_decisions, 1)
        if self.effective_sample_size < _MIN_SAMPLE_SIZE or share < _MIN_SHARE:
            found.append(
                f"effective sample size {self.effective_sample_size:.0f} of {self.num_decisions:,} decisions: "
                f"the log has too little of what the candidate does"
            )
        if self.largest_share > _DOMINATED and self.largest_weight > 0:
            found.append(
                f"one row with a weight of {self.largest_weight:.0f} is {self.largest_share:.0%} of all weights: "
                f"the estimate is that row's reward"
            )
        if self.unsupported > _UNSUPPORTED:
            found.append(
                f"{self.unsupported:.1%} of the candidate's choices cannot be in the log: "
                f"nothing is known of their rewards"
            )
        if self.mean_weight_p < _ALPHA and self.largest_share <= _DOMINATED:
            found.append(
                f"the mean weight is {self.mean_weight:.3f}, and should be 1, less the {self.unsupported:.1%} that "
                f"cannot be in the log (p {self.mean_weight_p:.1g}): the logged probabilities are wrong"
            )
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as JSON values."""
        found = dataclasses.asdict(self)
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in found.items()}


def measure_overlap(decisions: Decisions, candidate: np.ndarray | None, weight: np.ndarray) -> Overlap:
    """Returns the overlap of a candidate with a log.

    Args:
      decisions: the log.
      candidate: `[N, A]` probabilities; None for the policy that made the log.
      weight: `[N]`.
    """
    count, num_arms, action = len(decisions), decisions.num_arms or 1, decisions.action
    counts = np.bincount(action, minlength=num_arms)
    table = decisions.probabilities
    logged = counts / count if table is None else table.mean(axis=0)
    expected, unsupported, variance = logged, 0.0, float(weight.var())
    if candidate is not None:
        expected = candidate.mean(axis=0, dtype=np.float64)
        if table is not None:
            possible = table > 0
        else:
            possible = np.broadcast_to(counts > 0, (count, num_arms))
            if decisions.eligible is not None:
                possible = possible & decisions.eligible
        unsupported = float(np.sum(candidate, where=~possible, dtype=np.float64)) / count
        if table is not None:  # exact, even where a rare large weight was not drawn
            inverse = np.divide(1.0, table, out=np.zeros(table.shape), where=possible)
            squares = np.einsum("na,na,na->n", candidate, candidate, inverse)
            variance = float(np.mean(squares - np.einsum("na,na->n", candidate, possible) ** 2))
    sums = np.bincount(action, weight, num_arms)
    squares = np.bincount(action, weight * weight, num_arms)
    largest = np.zeros(num_arms)
    np.maximum.at(largest, action, weight)
    mean = float(weight.mean())
    highest = 1.0 - unsupported if table is not None else 1.0  # an arm that was not seen may have been possible
    off = max(1.0 - unsupported - mean, mean - highest, 0.0)
    if table is None:
        unsupported = min(unsupported, max(1.0 - mean + _SURE * sqrt(variance / count), 0.0))
    p_value = 1.0 if off < 1e-6 else 0.0 if variance <= 0 else erfc(off * sqrt(count / variance / 2.0))
    return Overlap(
        num_decisions=count,
        effective_sample_size=float(math.effective_sample_size(weight)),
        largest_weight=float(weight.max()),
        largest_share=float(weight.max() / weight.sum()) if mean > 0 else 1.0,
        mean_weight=mean,
        mean_weight_p=float(p_value),
        unsupported=max(unsupported, 0.0),
        arm_count=counts,
        arm_logged=logged,
        arm_candidate=expected,
        arm_effective=np.divide(sums**2, squares, out=np.zeros(num_arms), where=squares > 0),
        arm_largest=largest,
    )
