"""evaluate_off_policy: estimates of what candidate policies would have earned on logged decisions."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeGuard, cast

import numpy as np

from jaxdaw import math
from jaxdaw.data import Decisions, check_decisions, is_rewarded
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.evaluation._candidates import Candidate, candidate_probabilities
from jaxdaw.evaluation._estimators import ESTIMATORS, LoggedRows, Thresholds
from jaxdaw.evaluation._overlap import Overlap, measure_overlap
from jaxdaw.evaluation._reward_model import ridge_rewards
from jaxdaw.evaluation._statistics import Interval
from jaxdaw.policies import Policy

_COLUMNS_AT_ONCE = 8_000_000
_MOST_SKEWED = 0.25  # of the mean: where 16 clicks decide it


class Estimate(NamedTuple):
    """An estimate of the mean reward.

    Attributes:
      value: in units of reward.
      interval: percentile bootstrap over the rows. That of `dm` does not know the errors of the reward model.
      is_reliable: whether enough rows decide the interval for it to hold as often as it says: of clicks about 16.
      bernstein: empirical Bernstein, which holds for every number of rows; None unless the range of rewards is declared
        and that of weights is known.
    """

    value: float
    interval: Interval
    is_reliable: bool
    bernstein: Interval | None


@dataclasses.dataclass(frozen=True)
class CandidateReport:
    """What a candidate would have earned.

    Attributes:
      name: of the candidate.
      estimates: by the names of `ESTIMATORS`.
      gain: the main estimate minus the logged mean reward, with an interval over the same resamples of the rows.
      overlap: how much of it the log can tell.
      reasons: why it is not to be trusted; none if it is.
    """

    name: str
    estimates: Mapping[str, Estimate]
    gain: Estimate
    overlap: Overlap
    reasons: tuple[str, ...]

    @property
    def is_trusted(self) -> bool:
        """Whether overlap and rows are enough for the main estimate and its interval to be believed."""
        return not self.reasons


class Comparison(NamedTuple):
    """`first` minus `second` on the same rows, by the main estimator; `share_above`: of resamples that are above 0."""

    first: str
    second: str
    difference: float
    interval: Interval
    share_above: float


@dataclasses.dataclass(frozen=True)
class OffPolicyReport:
    """What candidates would have earned on a log.

    Attributes:
      num_decisions, num_arms: of the log, without those that were learned from.
      num_learned: decisions of the log that a candidate was trained on. They judge none.
      logged: the mean reward of the log.
      estimator: the main one, by which candidates are compared and gated.
      confidence: of all intervals.
      candidates: in the order in which they were given.
      comparisons: of each two of them.
    """

    num_decisions: int
    num_arms: int
    num_learned: int
    logged: Estimate
    estimator: str
    confidence: float
    candidates: tuple[CandidateReport, ...]
    comparisons: tuple[Comparison, ...]

    def figures(self, name: str) -> dict[str, float]:
        """Returns what a gate can compare, of the candidate of a name."""
        one = next(candidate for candidate in self.candidates if candidate.name == name)
        main = one.estimates[self.estimator]
        return {
            "value": main.value,
            "lower_bound": main.interval.low,
            "upper_bound": main.interval.high,
            "gain": one.gain.value,
            "gain_lower_bound": one.gain.interval.low,
            "logged": self.logged.value,
            "logged_lower_bound": self.logged.interval.low,
            "logged_upper_bound": self.logged.interval.high,
            "effective_sample_size": one.overlap.effective_sample_size,
            "largest_weight": one.overlap.largest_weight,
            "mean_weight": one.overlap.mean_weight,
            "unsupported": one.overlap.unsupported,
            "num_decisions": float(self.num_decisions),
        }

    def to_json(self) -> dict[str, Any]:
        """Returns the report as JSON values."""
        return {
            "num_decisions": self.num_decisions,
            "num_arms": self.num_arms,
            "num_learned": self.num_learned,
            "estimator": self.estimator,
            "confidence": self.confidence,
            "logged": _estimate_json(self.logged),
            "candidates": [
                {
                    "name": one.name,
                    "trusted": one.is_trusted,
                    "reasons": list(one.reasons),
                    "estimates": {name: _estimate_json(estimate) for name, estimate in one.estimates.items()},
                    "gain": _estimate_json(one.gain),
                    "overlap": one.overlap.to_json(),
                }
                for one in self.candidates
            ],
            "comparisons": [
                comparison._asdict() | {"interval": list(comparison.interval)} for comparison in self.comparisons
            ],
        }


def evaluate_off_policy(
    decisions: Decisions,
    candidates: Mapping[str, Candidate],
    *,
    estimators: Sequence[str] = tuple(ESTIMATORS),
    main: str | None = None,
    reward_model: Literal["ridge"] | np.ndarray = "ridge",
    folds: int = 3,
    clip: float = 10.0,
    switch_threshold: float = 10.0,
    shrinkage: float = 100.0,
    reward_range: tuple[float, float] | None = None,
    confidence: float = 0.95,
    resamples: int = 200,
    seed: int = 0,
) -> OffPolicyReport:
    """Estimates what candidates would have earned in the place of the policy that made a log.

    Rows are taken to be independent: decisions about one person many times in a row make the intervals too narrow.

    No policy is judged by what it learned from: decisions that one of the candidates was trained on (see
    `Policy.learned_keys`) are left out for all of them.

    Args:
      decisions: with probabilities in all rows, and rewards in 95 % of them at least; the others are left out.
      candidates: by name; `{"name": policy}`, see `Candidate` for what else can be one.
      estimators: names of `ESTIMATORS`, any of them. Where none needs a reward model, none is fitted.
      main: by which candidates are compared; None is `dr` if it is among the `estimators`, else the first of them.
      reward_model: `ridge`, which is cross-fitted, or expected rewards `[N, A]` of a model of your own.
      folds: of `ridge`.
      clip: the largest weight of `clipped_ips`.
      switch_threshold: the weight above which `switch_dr` believes the model.
      shrinkage: of `shrunk_dr`, in squares of a weight: at a weight of its root half of the weight is left.
      reward_range: between which numbers every reward lies, also one that this log does not show: `(0, 1)` of clicks.
        Where it is given there are empirical Bernstein intervals, and the reward model predicts nothing outside.
      confidence: of the intervals, in (0, 1).
      resamples: of the bootstrap; the same for all candidates.
      seed: of the resampling and of the folds.

    Raises:
      SpecError: the log has faults (see `check_decisions`), a candidate does not fit it, or candidates were trained on
        all of it.
      ConfigError: an argument outside its range, or a reward outside the declared one.

    Warns:
      JaxdawWarning: how many decisions without a reward are left out.

    >>> random = np.random.default_rng(0)
    >>> action = random.integers(0, 2, 4000)
    >>> decisions = Decisions(action, reward=random.random(4000) < 0.2 + 0.6 * action, probability=np.full(4000, 0.5))
    >>> report = evaluate_off_policy(decisions, {"second arm": "constant:1"}, estimators=["snips"])
    >>> round(report.candidates[0].estimates["snips"].value, 1)
    0.8
    """
    thresholds = Thresholds(clip, switch_threshold, shrinkage)
    _check_options(candidates, estimators, main, confidence, resamples, thresholds)
    main = main or ("dr" if "dr" in estimators else estimators[0])
    whole, has_reward, is_new = len(decisions), is_rewarded(decisions), _not_learned(decisions, candidates)
    judges = has_reward & is_new
    if not judges.all():
        decisions = decisions.select(judges)
        candidates = {name: one[judges] if _fits(one, whole) else one for name, one in candidates.items()}
        reward_model = reward_model[judges] if _fits(reward_model, whole) else reward_model
    check_decisions(decisions).raise_if_faulty("the logged decisions")
    count, reward = len(decisions), decisions.reward
    if isinstance(reward_model, str):
        is_greedy = any(isinstance(candidate, str) and candidate == "greedy" for candidate in candidates.values())
        models = is_greedy or any(ESTIMATORS[name].needs_model for name in estimators)
        q = ridge_rewards(decisions, folds, seed=seed) if models else np.zeros((count, 0), np.float32)
    else:
        q = np.asarray(reward_model)
        if q.shape != (count, decisions.num_arms) or not np.isfinite(q).all():
            expected, got = f"finite ({count}, {decisions.num_arms})", str(q.shape)
            raise ConfigError("the expected rewards do not fit the log", expected=expected, got=got)
    if reward_range is not None:
        _check_range(reward, reward_range)
        q = np.clip(q, *reward_range)
    q_logged = q[np.arange(count), decisions.action].astype(np.float64) if q.shape[1] else np.zeros(count)

    columns: list[np.ndarray] = [reward]
    overlaps: list[Overlap] = []
    largest: list[float] = []  # weights that any row can have
    skewed: list[float] = []  # how skewed the weights are, whether or not the largest have come up
    for candidate in candidates.values():
        if isinstance(candidate, str) and candidate == "logged" and decisions.probabilities is None:
            weight, q_candidate, pi = np.ones(count), q_logged, None
        else:
            pi = candidate_probabilities(candidate, decisions, q if q.shape[1] else None)
            weight = pi[np.arange(count), decisions.action] / decisions.probability
            q_candidate = np.einsum("na,na->n", pi, q, dtype=np.float64) if q.shape[1] else np.zeros(count)
        overlaps.append(measure_overlap(decisions, pi, weight))
        largest.append(_largest_possible_weight(decisions, pi))
        skewed.append(_skewness_of_weights(decisions, pi))
        rows = LoggedRows(reward, weight, q_logged, q_candidate)
        columns += [np.asarray(ESTIMATORS[name].scores(rows, thresholds)) for name in estimators] + [weight]
    table = np.stack(columns, axis=1)
    means, draws = table.mean(axis=0), _bootstrap_means(table, resamples, seed)
    logged = _estimate(means[0], draws[:, 0], reward, confidence, 0.0, reward_range)
    reports: list[CandidateReport] = []
    replicates: list[np.ndarray] = []
    for index, (name, overlap) in enumerate(zip(candidates, overlaps, strict=True)):
        start = 1 + index * (len(estimators) + 1)
        last = start + len(estimators)
        estimates, gain, reasons = {}, None, overlap.reasons()
        for place, estimator in enumerate(estimators, start):
            kind, value, drawn, scores = ESTIMATORS[estimator], means[place], draws[:, place], table[:, place]
            bounds = None
            if kind.is_ratio:
                value, drawn = _ratio(value, means[last]), _ratio(drawn, draws[:, last])
                scores = _ratio(scores - value * table[:, last], means[last]) + value  # what each row adds
            elif reward_range is not None:
                bounds = kind.range_of(*reward_range, largest[index], thresholds)
            is_cut = kind.most is not None and kind.most(np.inf, thresholds) < np.inf
            skewness = 0.0 if is_cut or estimator == "dm" else skewed[index] * _skewness_of(reward)
            estimates[estimator] = _estimate(value, drawn, scores, confidence, skewness, bounds)
            if estimator == main:
                gain = _estimate(value - means[0], drawn - draws[:, 0], scores - reward, confidence, skewness)
                replicates.append(drawn)
                is_same = np.allclose(scores, reward, rtol=1e-9, atol=1e-12)  # the logged policy beside itself
                if not (estimates[main].is_reliable and (gain.is_reliable or is_same)):
                    reasons = (*reasons, f"few rows decide the interval of {main}: it may hold less often than it says")
        reports.append(CandidateReport(name, estimates, cast(Estimate, gain), overlap, reasons))
    comparisons = tuple(
        Comparison(
            reports[a].name,
            reports[b].name,
            reports[a].estimates[main].value - reports[b].estimates[main].value,
            _percentiles(replicates[a] - replicates[b], confidence),
            float(np.mean(replicates[a] > replicates[b])),
        )
        for a, b in itertools.combinations(range(len(reports)), 2)
    )
    return OffPolicyReport(
        num_decisions=count,
        num_arms=decisions.num_arms or 0,
        num_learned=int(np.sum(~is_new)),
        logged=logged,
        estimator=main,
        confidence=confidence,
        candidates=tuple(reports),
        comparisons=comparisons,
    )


def _not_learned(decisions: Decisions, candidates: Mapping[str, Candidate]) -> np.ndarray:
    """Returns `[N]` bool, which decisions no candidate was trained on.

    Raises:
      SpecError: none.
    """
    learned = {
        name: one.learned_keys
        for name, one in candidates.items()
        if isinstance(one, Policy) and one.learned_keys is not None
    }
    is_new = np.ones(len(decisions), bool)
    for keys in learned.values():
        is_new &= ~np.isin(decisions.keys, keys)
    if learned and not is_new.any():
        names = ", ".join(learned)
        raise SpecError(
            f"every decision of this log was learned from by {names}: a policy looks better there than it is",
            expected="decisions that it was not trained on",
            got=f"{len(decisions):,} decisions, all of them known to it",
            fix="newer decisions, or `jaxdaw train bandit --log LOG`, which keeps a part aside and judges by it",
        )
    return is_new


def _fits(rows: Any, count: int) -> TypeGuard[np.ndarray]:
    return isinstance(rows, np.ndarray) and rows.shape[:1] == (count,)


def _check_options(
    candidates: Mapping[str, Candidate],
    estimators: Sequence[str],
    main: str | None,
    confidence: float,
    resamples: int,
    thresholds: Thresholds,
) -> None:
    unknown = [name for name in estimators if name not in ESTIMATORS]
    if unknown or not estimators or (main is not None and main not in estimators):
        expected, got = ", ".join(ESTIMATORS), ", ".join([*unknown, *([main] if main else [])]) or "none"
        raise ConfigError("there is no such estimator, or it is not among those asked for", expected=expected, got=got)
    ranges = (
        ("candidates", bool(candidates), "one at least", len(candidates)),
        ("confidence", 0 < confidence < 1, "(0, 1)", confidence),
        ("resamples", resamples >= 2, "at least 2", resamples),
        ("clip", thresholds.clip > 0, "above 0", thresholds.clip),
        ("switch_threshold", thresholds.switch_threshold >= 0, "at least 0", thresholds.switch_threshold),
        ("shrinkage", 0 < thresholds.shrinkage < np.inf, "above 0, finite", thresholds.shrinkage),
    )
    for name, fits, expected, got in ranges:
        if not fits:
            raise ConfigError(f"{name} is outside its range", expected=expected, got=str(got))


def _bootstrap_means(table: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Returns the means `[resamples, C]` of columns `[N, C]` over rows drawn with replacement.

    How often a row is drawn is a count, so that a resample of all columns is one product, and none is copied.
    """
    count = len(table)
    random = np.random.default_rng(seed)
    at_once = max(1, min(resamples, _COLUMNS_AT_ONCE // count))
    draws = np.empty((resamples, table.shape[1]))
    for start in range(0, resamples, at_once):
        stop = min(start + at_once, resamples)
        counts = np.empty((stop - start, count))
        for row in counts:
            row[:] = np.bincount(random.integers(0, count, count, dtype=np.int32), minlength=count)
        draws[start:stop] = counts @ table
    return draws / count


def _estimate(
    value: Any,
    drawn: np.ndarray,
    scores: np.ndarray,
    confidence: float,
    skewness: float,
    bounds: tuple[float, float] | None = None,
) -> Estimate:
    """Returns an estimate with its intervals.

    Args:
      value: the estimate.
      drawn: `[resamples]`, of the bootstrap.
      scores: `[N]`, whose mean is the estimate.
      confidence: of the intervals.
      skewness: that of a score, as far as it is known without the log.
      bounds: between which numbers every score lies; None if that is not known.
    """
    bernstein = None
    if bounds is not None and len(scores) > 1:
        radius = float(math.empirical_bernstein_radius(scores, bounds[1] - bounds[0], confidence))
        bernstein = Interval(max(float(value) - radius, bounds[0]), min(float(value) + radius, bounds[1]))
    return Estimate(float(value), _percentiles(drawn, confidence), _is_reliable(scores, skewness), bernstein)


def _is_reliable(scores: np.ndarray, skewness: float) -> bool:
    """Returns whether the mean of the scores is nearly normal: its skewness is small.

    Of events that happen rarely the skewness of the mean is one over the root of their number.

    Args:
      scores: `[N]`.
      skewness: that of a score, as far as it is known without them: rows of large weight may not have come up.
    """
    centred = scores - scores.mean()
    deviation = float(np.sqrt(np.mean(centred**2)))
    if not np.isfinite(deviation) or deviation <= 1e-12 * max(1.0, float(np.abs(scores).max(initial=0.0))):
        return False
    seen = abs(float(np.mean((centred / deviation) ** 3)))
    return bool(max(seen, skewness) <= _MOST_SKEWED * np.sqrt(len(scores)))


def _skewness_of(reward: np.ndarray) -> float:
    """Returns the third moment of the sizes of rewards over the second one to the power of 1.5; 0 if all are 0."""
    sizes = np.abs(reward)
    square = float(np.mean(sizes**2))
    return float(np.mean(sizes**3)) / square**1.5 if square > 0 else 0.0


def _skewness_of_weights(decisions: Decisions, candidate: np.ndarray | None) -> float:
    """Returns the same of the weights that rows of these contexts can have; 0 where probabilities are not known."""
    table = decisions.probabilities
    if candidate is None or table is None:
        return 0.0
    weight = np.divide(candidate, table, out=np.zeros(table.shape), where=table > 0)
    square, cube = (float(np.einsum("na,na->", table, weight**power)) / len(table) for power in (2, 3))
    return cube / square**1.5 if square > 0 else 0.0


def _largest_possible_weight(decisions: Decisions, candidate: np.ndarray | None) -> float:
    """Returns the largest weight that a row in these contexts can have; infinity if not all probabilities are known."""
    if candidate is None:
        return 1.0
    if decisions.probabilities is None:
        return np.inf
    table = decisions.probabilities
    return float(np.max(np.divide(candidate, table, out=np.zeros(table.shape), where=table > 0)))


def _check_range(reward: np.ndarray, reward_range: tuple[float, float]) -> None:
    low, high = reward_range
    if not low < high or not np.isfinite([low, high]).all():
        raise ConfigError("reward_range is no range", expected="(low, high), low below high", got=str(reward_range))
    outside = (reward < low) | (reward > high)
    if outside.any():
        raise ConfigError(
            f"{int(outside.sum()):,} rewards lie outside the declared range",
            expected=f"{low:g} to {high:g}",
            got=f"{reward[outside][0]:g} in row {int(np.argmax(outside))}",
            fix="the range of every reward that can come, not of those that have come",
        )


def _percentiles(drawn: np.ndarray, confidence: float) -> Interval:
    tail = (1.0 - confidence) / 2.0
    if not np.isfinite(drawn).all():
        return Interval(np.nan, np.nan)
    # the k-th of B sorted draws estimates quantile k / (B + 1): NumPy's default would give 94 % for 95 at 200 draws
    low, high = np.quantile(drawn, (tail, 1.0 - tail), method="weibull")
    return Interval(float(low), float(high))


def _ratio(total: Any, weight: Any) -> Any:
    """Returns the quotient; NaN where a resample, or the log, holds no row that the candidate could have made."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weight > 0, total / weight, np.nan)


def _estimate_json(estimate: Estimate) -> dict[str, Any]:
    def numbers(interval: Interval | None) -> list[float | None] | None:
        return None if interval is None else [bound if np.isfinite(bound) else None for bound in interval]

    value = estimate.value if np.isfinite(estimate.value) else None
    return {
        "value": value,
        "interval": numbers(estimate.interval),
        "reliable": estimate.is_reliable,
        "bernstein": numbers(estimate.bernstein),
    }
