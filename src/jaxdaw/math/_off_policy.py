"""Off-policy estimators: per-row scores whose mean estimates what a policy would have earned on logged decisions.

Everything is element-wise over the rows `[N]`, in float64 if that comes in, and works on NumPy and JAX arrays alike. A
weight is `w = pi(a | x) / p`, the candidate's probability of the logged arm over the logged probability. `q` is what a
reward model expects: of the logged arm, or of each arm.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Real

from jaxdaw.errors import SpecError
from jaxdaw.math._arrays import AnyArray

_Column = Real[AnyArray, "..."]
"""`[N]`, which the functions check themselves, in tests and outside: a second axis would broadcast."""
_Scores = Float[AnyArray, " N"]


def inverse_propensity_scores(reward: _Column, weight: _Column) -> _Scores:
    """Returns `w r` of each row; the mean is unbiased where every arm that the candidate takes could have been logged.

    Args:
      reward: what the logged arm earned.
      weight: at least 0.

    Raises:
      SpecError: the shapes differ; nothing is broadcast.

    Source: Horvitz & Thompson 1952.

    >>> import numpy as np
    >>> inverse_propensity_scores(np.array([1.0, 0.0, 2.0]), np.array([2.0, 1.0, 0.5])).tolist()
    [2.0, 0.0, 1.0]
    """
    _require_rows(reward, weight)
    return weight * reward


def clipped_scores(reward: _Column, weight: _Column, clip: float) -> _Scores:
    """Returns `min(w, clip) r` of each row: less variance, and biased towards 0 by what is cut off.

    Args:
      reward, weight: as `inverse_propensity_scores`.
      clip: the largest weight.

    Source: Ionides 2008.

    >>> import numpy as np
    >>> clipped_scores(np.array([1.0, 1.0]), np.array([0.5, 200.0]), clip=10.0).tolist()
    [0.5, 10.0]
    """
    _require_rows(reward, weight)
    return weight.clip(max=clip) * reward


def doubly_robust_scores(reward: _Column, weight: _Column, q_logged: _Column, q_candidate: _Column) -> _Scores:
    """Returns `q_candidate + w (r - q_logged)`: unbiased if the propensities are right, or if the model is.

    Args:
      reward, weight: as `inverse_propensity_scores`.
      q_logged: what the model expects of the logged arm.
      q_candidate: what it expects under the candidate, `sum_a pi(a | x) q(x, a)`.

    Source: Dudik et al. 2011.

    >>> import numpy as np
    >>> doubly_robust_scores(np.array([1.0]), np.array([2.0]), np.array([0.5]), np.array([0.25])).tolist()
    [1.25]
    """
    _require_rows(reward, weight, q_logged, q_candidate)
    return q_candidate + weight * (reward - q_logged)


def switch_scores(
    reward: _Column, weight: _Column, q_logged: _Column, q_candidate: _Column, threshold: float
) -> _Scores:
    """Returns doubly robust scores in which rows with a weight above `threshold` are left to the model (SWITCH-DR).

    Args:
      reward, weight, q_logged, q_candidate: as `doubly_robust_scores`.
      threshold: the largest weight that corrects the model.

    Source: Wang et al. 2017.
    """
    _require_rows(reward, weight, q_logged, q_candidate)
    return q_candidate + weight * (weight <= threshold) * (reward - q_logged)


def shrunk_scores(
    reward: _Column, weight: _Column, q_logged: _Column, q_candidate: _Column, shrinkage: float
) -> _Scores:
    """Returns doubly robust scores with the weights `s w / (w**2 + s)`: optimistic shrinkage.

    Args:
      reward, weight, q_logged, q_candidate: as `doubly_robust_scores`.
      shrinkage: `s`, above 0; infinity is the doubly robust estimate, 0 the model's.

    Source: Su et al. 2020.
    """
    _require_rows(reward, weight, q_logged, q_candidate)
    return q_candidate + shrinkage * weight / (weight * weight + shrinkage) * (reward - q_logged)


def effective_sample_size(weight: Real[AnyArray, " N"]) -> Float[AnyArray | np.floating, ""]:
    """Returns `sum(w)**2 / sum(w**2)`: with how many unweighted rows the estimate is as sure; 0 without weights.

    Args:
      weight: at least 0.

    Source: Kish 1965.

    >>> import numpy as np
    >>> float(effective_sample_size(np.array([1.0, 1.0, 0.0, 0.0])))
    2.0
    """
    squares = (weight * weight).sum()
    return weight.sum() ** 2 / (squares + (squares == 0))


def empirical_bernstein_radius(
    scores: Real[AnyArray, " N"], width: float, confidence: float
) -> Float[AnyArray | np.floating, ""]:
    """Returns half the width of an interval around the mean of the scores that holds for every sample size.

    Args:
      scores: independent, N at least 2.
      width: of the range that the scores lie in for certain; the bound is only as good as this.
      confidence: of the two-sided interval, in (0, 1).

    Source: Maurer & Pontil 2009, theorem 4, once for each side.

    >>> import numpy as np
    >>> round(float(empirical_bernstein_radius(np.array([0.0, 1.0] * 50), width=1.0, confidence=0.95)), 4)
    0.252
    """
    from math import log

    count = scores.shape[0]
    bits = log(4.0 / (1.0 - confidence))
    return (2.0 * scores.var(ddof=1) * bits / count) ** 0.5 + 7.0 * width * bits / (3.0 * (count - 1))


def _require_rows(*columns: _Column) -> None:
    shapes = {tuple(column.shape) for column in columns}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise SpecError(
            "the columns of logged decisions have several shapes",
            expected="[N], the same for all",
            got=", ".join(map(str, sorted(shapes))),
            cause="a trailing axis of size 1; the columns would broadcast to a matrix.",
            fix="reward = reward.reshape(-1)",
        )
