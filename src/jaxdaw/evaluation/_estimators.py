"""The off-policy estimators by name: what each computes from a log, what it needs, and where it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np

from jaxdaw import math


class LoggedRows(NamedTuple):
    """What the estimators see of a log and one candidate, each `[N]`.

    Attributes:
      reward: what the logged arm earned.
      weight: the candidate's probability of the logged arm over the logged one.
      q_logged: what the reward model expects of the logged arm; zeros without a model.
      q_candidate: what it expects under the candidate; zeros without a model.
    """

    reward: np.ndarray
    weight: np.ndarray
    q_logged: np.ndarray
    q_candidate: np.ndarray


class Thresholds(NamedTuple):
    """The numbers that some estimators take; see `evaluate_off_policy`."""

    clip: float = 10.0
    switch_threshold: float = 10.0
    shrinkage: float = 100.0


class Estimator(NamedTuple):
    """One off-policy estimator.

    Attributes:
      scores: `(rows, thresholds) -> [N]`, whose mean is the estimate.
      most: `(largest weight, thresholds) -> ` the largest weight that enters a score; None for scores without a bound.
      needs_model: whether it needs expected rewards of a reward model.
      is_ratio: whether the mean of the scores is divided by the mean weight.
      summary: what it is.
      fails_where: what makes it wrong.
    """

    scores: Callable[[LoggedRows, Thresholds], jax.Array | np.ndarray]
    most: Callable[[float, Thresholds], float] | None
    needs_model: bool
    is_ratio: bool
    summary: str
    fails_where: str

    def range_of(self, low: float, high: float, weight: float, thresholds: Thresholds) -> tuple[float, float] | None:
        """Returns between which numbers every score lies; None if they have no bound.

        Args:
          low, high: between which rewards, and the predictions of a reward model, lie.
          weight: the largest weight that any row can have; infinity if it is not known.
          thresholds: see `evaluate_off_policy`.
        """
        largest = np.inf if self.most is None else self.most(weight, thresholds)
        if not np.isfinite(largest):
            return None
        if self.needs_model:
            return low - largest * (high - low), high + largest * (high - low)
        return min(0.0, largest * low), max(0.0, largest * high)


ESTIMATORS: Mapping[str, Estimator] = {
    "ips": Estimator(
        lambda rows, _: math.inverse_propensity_scores(rows.reward, rows.weight),
        most=lambda weight, _: weight,
        needs_model=False,
        is_ratio=False,
        summary="inverse propensities",
        fails_where="few rows carry the weight",
    ),
    "snips": Estimator(
        lambda rows, _: math.inverse_propensity_scores(rows.reward, rows.weight),
        most=None,
        needs_model=False,
        is_ratio=True,
        summary="inverse propensities, divided by the mean weight",
        fails_where="few rows carry the weight",
    ),
    "clipped_ips": Estimator(
        lambda rows, numbers: math.clipped_scores(rows.reward, rows.weight, numbers.clip),
        most=lambda weight, numbers: min(weight, numbers.clip),
        needs_model=False,
        is_ratio=False,
        summary="inverse propensities, with weights cut at 10",
        fails_where="what was cut off mattered: biased towards 0",
    ),
    "dm": Estimator(
        lambda rows, _: rows.q_candidate,
        most=None,
        needs_model=True,
        is_ratio=False,
        summary="a reward model alone: ridge per arm, cross-fitted",
        fails_where="the model is wrong; its interval does not know",
    ),
    "dr": Estimator(
        lambda rows, _: math.doubly_robust_scores(*rows),
        most=lambda weight, _: weight,
        needs_model=True,
        is_ratio=False,
        summary="the model, corrected by weighted residuals (doubly robust)",
        fails_where="both are bad",
    ),
    "switch_dr": Estimator(
        lambda rows, numbers: math.switch_scores(*rows, threshold=numbers.switch_threshold),
        most=lambda weight, numbers: min(weight, numbers.switch_threshold),
        needs_model=True,
        is_ratio=False,
        summary="doubly robust, with rows of large weights left to the model",
        fails_where="the model is wrong in those rows",
    ),
    "shrunk_dr": Estimator(
        lambda rows, numbers: math.shrunk_scores(*rows, shrinkage=numbers.shrinkage),
        most=lambda weight, numbers: _most_shrunk(weight, numbers.shrinkage),
        needs_model=True,
        is_ratio=False,
        summary="doubly robust, with large weights shrunk",
        fails_where="the model is wrong in those rows",
    ),
}
"""The off-policy estimators by name, in the order in which reports list them."""


def _most_shrunk(weight: float, shrinkage: float) -> float:
    """Returns the largest value of `shrinkage * w / (w**2 + shrinkage)` for weights from 0 to `weight`."""
    peak = min(weight, float(np.sqrt(shrinkage)))
    return shrinkage * peak / (peak**2 + shrinkage)
