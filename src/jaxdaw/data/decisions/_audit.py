"""audit: tests whether the arms of a log were chosen with the probabilities that it records.

Off-policy evaluation relies on the logged probabilities. Each test has a statistic and a p value. Faults that can be
counted, such as a probability of 0, are found by `check_decisions`.
"""

from __future__ import annotations

import dataclasses
from math import erfc, sqrt
from typing import Any, NamedTuple

import numpy as np

from jaxdaw.data._report import Report
from jaxdaw.data.decisions._check import MOST_MISSING, check_decisions
from jaxdaw.data.decisions._decisions import Decisions, chosen
from jaxdaw.errors import ConfigError

ALPHA = 1e-3
_BINS = 10
_DOMINATED = 0.1
_MIN_SAMPLE_SIZE = 200  # effective, of an arm
_MAX_NAMED = 3


class AuditCheck(NamedTuple):
    """One test of a log.

    Attributes:
      name: of the test.
      status: `pass`, `fail`, `warn` (legal, and limits what can be evaluated), or `skip` (the log lacks what it needs).
      told: the result in words.
      statistic: the test statistic; NaN where there is none.
      p_value: the probability of one at least as large if the log is right; NaN where there is none.
    """

    name: str
    status: str
    told: str
    statistic: float = np.nan
    p_value: float = np.nan


class Audit(NamedTuple):
    """What an audit has found: `faults` that can be counted, and `checks` with p values."""

    num_decisions: int
    num_arms: int
    faults: Report
    checks: tuple[AuditCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether there is no fault and no test has failed."""
        return not self.faults.errors and all(check.status != "fail" for check in self.checks)

    def __str__(self) -> str:
        """Returns a line for each check, and the faults in full."""
        lines = [f"{self.num_decisions:,} decisions among {self.num_arms} arms"]
        lines += [
            f"  {check.status:4s}  {check.name:21s} {check.told}"
            + ("" if np.isnan(check.p_value) else f"  (statistic {check.statistic:.4g}, p {check.p_value:.3g})")
            for check in self.checks
        ]
        if self.faults.errors:
            lines += ["", str(self.faults)]
        return "\n".join([*lines, "", "the log passes" if self.passed else "the log FAILS"])

    def to_json(self) -> dict[str, Any]:
        """Returns the audit as JSON values; NaN becomes None."""

        def number(value: float) -> float | None:
            return float(value) if np.isfinite(value) else None

        return {
            "decisions": self.num_decisions,
            "arms": self.num_arms,
            "passed": self.passed,
            "faults": [dataclasses.asdict(fault) for fault in self.faults.errors],
            "checks": [
                check._asdict() | {"statistic": number(check.statistic), "p_value": number(check.p_value)}
                for check in self.checks
            ],
        }


def audit(
    decisions: Decisions,
    *,
    alpha: float = ALPHA,
    expected_shares: dict[str, float] | None = None,
    needs_reward: bool = False,
) -> Audit:
    """Tests a log.

    * `arm frequencies`: how often each arm was chosen, against the sum of its probabilities (chi-squared). Where only
      the chosen arm's probability is known: whether `1 / p` of its rows adds up to how often it was eligible.
    * `calibration`: the same within ten bins of equally many logged probabilities: of the chosen actions that had
      probability 0.1, as many as there were such offers, times 0.1 (chi-squared).
    * `mean weight`: a uniform candidate's weights average 1 (normal).
    * `support`: no eligible arm has probability 0, or was never chosen where only the chosen arm's is known.
    * `sample ratio`: rows of each policy version, against `expected_shares` (chi-squared).
    * `missing outcomes`: no arm loses more of its outcomes than others (chi-squared).

    Rows that `check_decisions` refuses are left out of the tests, not of the faults.

    Args:
      decisions: the log.
      alpha: a test fails below this p value.
      expected_shares: of the policy versions, by name; they are scaled to add up to 1.
      needs_reward: whether a decision without a reward is a fault; otherwise it is only told.

    Raises:
      ConfigError: alpha outside (0, 1), or shares of unknown versions.

    >>> print(audit(Decisions(action=[0, 1] * 50, probabilities=[[0.5, 0.5]] * 100)).checks[0].told)
    frequencies agree with the logged probabilities
    """
    if not 0 < alpha < 1:
        raise ConfigError("alpha is outside its range", expected="(0, 1)", got=str(alpha))
    faults = check_decisions(decisions, needs_reward=needs_reward)
    sound = decisions.in_range & decisions.is_possible
    if decisions.eligible is not None and len(decisions):
        sound &= chosen(decisions.eligible, decisions.action) == 1
    if decisions.probabilities is not None:
        sound &= np.isfinite(decisions.probabilities).all(axis=1)
    used = decisions if sound.all() else decisions.select(sound)
    checks: list[AuditCheck] = []
    if len(used):
        checks = [
            _frequencies(used, alpha),
            _calibration(used, alpha),
            _mean_weight(used, alpha),
            _support(used),
        ]
    checks.append(_sample_ratio(decisions, alpha, expected_shares))
    checks.append(_missing_outcomes(decisions, alpha))
    return Audit(len(decisions), decisions.num_arms or 0, faults, tuple(checks))


def _status(p_value: float, alpha: float) -> str:
    return "fail" if p_value < alpha else "pass"


def _chi_squared(difference: np.ndarray, covariance: np.ndarray) -> tuple[float, float]:
    """Returns the statistic and p value of sums of multinomial residuals; the covariance is singular."""
    scale = np.sqrt(np.diag(covariance))
    used = scale > 1e-9 * max(scale.max(initial=0.0), 1e-300)
    if used.sum() < 2:
        return (0.0, 1.0) if np.allclose(difference, 0, atol=1e-6) else (np.inf, 0.0)
    correlation = covariance[np.ix_(used, used)] / np.outer(scale[used], scale[used])
    values, vectors = np.linalg.eigh(correlation)
    kept = values > 1e-8 * values.max()
    projected = (vectors[:, kept].T @ (difference[used] / scale[used])) / np.sqrt(values[kept])
    statistic = float(projected @ projected)
    return statistic, _tail(int(kept.sum()), statistic)


def _tail(freedom: int, statistic: float) -> float:
    """Returns the probability that a chi-squared variable is larger."""
    from scipy import special  # imported here because it takes 0.1 s

    return float(special.chdtrc(freedom, statistic))


def _normal(total: float, variance: float) -> tuple[float, float]:
    if variance <= 0:
        return (0.0, 1.0) if abs(total) < 1e-6 else (np.inf, 0.0)
    z = total / np.sqrt(variance)
    return float(z), erfc(abs(z) / sqrt(2.0))


def _frequencies(decisions: Decisions, alpha: float) -> AuditCheck:
    name, num_arms = "arm frequencies", decisions.num_arms or 1
    if decisions.probabilities is not None:
        table = decisions.probabilities
        counts = np.bincount(decisions.action, minlength=num_arms)
        expected = table.sum(axis=0)
        covariance = np.diag(expected) - table.T @ table
        statistic, p_value = _chi_squared(counts - expected, covariance)
        worst = _worst((counts - expected) / np.sqrt(np.maximum(np.diag(covariance), 1e-12)))
        told = "frequencies agree with the logged probabilities"
        if p_value < alpha:
            told = "; ".join(f"arm {a}: chosen {counts[a]:,} times, expected {expected[a]:,.0f}" for a in worst)
        return AuditCheck(name, _status(p_value, alpha), told, statistic, p_value)
    offered = (
        np.full(num_arms, float(len(decisions)))
        if decisions.eligible is None
        else decisions.eligible.sum(axis=0).astype(np.float64)
    )
    weight = 1.0 / decisions.probability
    sums = np.bincount(decisions.action, weight, num_arms)
    # 1 / p of the rows that took an arm has mean 1 over those that offered it, and variance (1 - p) / p
    variance = np.bincount(decisions.action, weight * np.maximum(weight - 1, 0), num_arms)
    squares = np.bincount(decisions.action, weight * weight, num_arms)
    # below this, the sum is not yet normal: the few large weights that balance the small ones have not occurred
    judged = (sums**2 >= _MIN_SAMPLE_SIZE * squares) & (variance > 0)
    if not judged.any():
        exact = bool(np.all(np.abs(sums - offered)[offered > 0] < 1e-6))
        return AuditCheck(name, "pass" if exact else "skip", "too few rows of each arm to judge")
    z = (sums - offered)[judged] / np.sqrt(variance[judged])
    tried = int(
        (offered > 0).sum()
    )  # Bonferroni: of the worst arm; which can be judged is seen in the log, so all count
    p_value = min(1.0, erfc(np.abs(z).max() / sqrt(2.0)) * tried)
    told = f"frequencies agree with the logged probabilities ({judged.sum()} of {num_arms} arms can be judged)"
    if p_value < alpha:
        arms = np.flatnonzero(judged)[_worst(z)]
        told = "; ".join(f"arm {a}: 1/p adds up to {sums[a]:,.0f}, offered {offered[a]:,.0f} times" for a in arms)
    return AuditCheck(name, _status(p_value, alpha), told, float(np.abs(z).max()), p_value)


def _worst(z: np.ndarray) -> np.ndarray:
    return np.argsort(-np.abs(z))[:_MAX_NAMED]


def _calibration(decisions: Decisions, alpha: float) -> AuditCheck:
    name, table = "calibration", decisions.probabilities
    if table is None:
        return AuditCheck(name, "skip", "needs the probabilities of all arms")
    offers = table[table > 0]
    edges = np.unique(np.quantile(offers[:: max(1, len(offers) // 100_000)], np.linspace(0, 1, _BINS + 1)[1:-1]))
    bins = len(edges) + 1
    own = np.bincount(np.searchsorted(edges, decisions.probability), minlength=bins)
    expected, covariance = np.zeros(bins), np.zeros((bins, bins))
    for start in range(0, len(table), 100_000):
        rows = table[start : start + 100_000]
        place = np.searchsorted(edges, rows) + bins * np.arange(len(rows))[:, None]
        mass = np.bincount(place.ravel(), rows.ravel(), bins * len(rows)).reshape(-1, bins)
        expected += mass.sum(axis=0)
        covariance -= mass.T @ mass
    covariance += np.diag(expected)
    statistic, p_value = _chi_squared(own - expected, covariance)
    told = f"in {bins} bins of the logged probability"
    if p_value < alpha:
        limits = [0.0, *edges.tolist(), 1.0]
        worst = _worst((own - expected) / np.sqrt(np.maximum(np.diag(covariance), 1e-12)))
        told = "; ".join(
            f"p {limits[b]:.3g}..{limits[b + 1]:.3g}: chosen {own[b]:,} times, expected {expected[b]:,.0f}"
            for b in worst
        )
    return AuditCheck(name, _status(p_value, alpha), told, statistic, p_value)


def _mean_weight(decisions: Decisions, alpha: float) -> AuditCheck:
    name, num_arms = "mean weight", decisions.num_arms or 1
    offered = num_arms if decisions.eligible is None else decisions.eligible.sum(axis=1)
    weight = 1.0 / (offered * decisions.probability)
    table, count = decisions.probabilities, len(decisions)
    expected = 1.0
    if table is None:
        variance = float(np.var(weight)) * count
    else:
        possible = table > 0
        expected = float(np.mean(possible.sum(axis=1) / offered))
        inverse = np.divide(1.0, table, out=np.zeros_like(table), where=possible).sum(axis=1)
        variance = float(np.sum(inverse / np.square(offered) - np.square(possible.sum(axis=1) / offered)))
    mean, largest = float(weight.mean()), float(weight.max() / weight.sum())
    z, p_value = _normal(float(weight.sum()) - expected * count, variance)
    told = f"{mean:.4f} for a uniform candidate, expected {expected:.4g}"
    if largest > _DOMINATED and count > 1 / _DOMINATED:
        row = int(np.argmax(weight))
        told += f"; one row is {largest:.0%} of it, with probability {decisions.probability[row]:.3g}"
        return AuditCheck(name, "warn", told, z, p_value)
    return AuditCheck(name, _status(p_value, alpha), told, z, p_value)


def _support(decisions: Decisions) -> AuditCheck:
    name, table, eligible = "support", decisions.probabilities, decisions.eligible
    counts = np.bincount(decisions.action, minlength=decisions.num_arms or 1)
    offered = np.full(len(counts), len(decisions)) if eligible is None else eligible.sum(axis=0)
    if table is None:
        holes = np.flatnonzero((counts == 0) & (offered > 0))
        if len(holes):
            return AuditCheck(name, "warn", f"{_arms(holes)} eligible, and never chosen: no candidate may take them")
        return AuditCheck(name, "pass", f"every eligible arm was chosen, {counts[offered > 0].min():,} times at least")
    empty = table <= 0 if eligible is None else (table <= 0) & eligible
    never = np.flatnonzero((empty.sum(axis=0) == offered) & (offered > 0))
    if len(never):
        return AuditCheck(name, "fail", f"{_arms(never)} eligible, and had probability 0 in every row")
    rows = int(empty.any(axis=1).sum())
    if rows:
        share = rows / len(decisions)
        told = f"an eligible arm had probability 0 in {rows:,} rows ({share:.1%}): who takes it there is not judged"
        return AuditCheck(name, "warn", told)
    allowed = table if eligible is None else np.where(eligible, table, 1.0)
    return AuditCheck(name, "pass", f"every eligible arm had a probability of {allowed.min():.3g} at least")


def _arms(holes: np.ndarray) -> str:
    named = ", ".join(map(str, holes[:_MAX_NAMED])) + (", ..." if len(holes) > _MAX_NAMED else "")
    return f"arm {named} was" if len(holes) == 1 else f"{len(holes)} arms ({named}) were"


def _sample_ratio(decisions: Decisions, alpha: float, shares: dict[str, float] | None) -> AuditCheck:
    name, versions = "sample ratio", decisions.policy_version
    if shares is None or versions is None:
        return AuditCheck(name, "skip", "needs policy versions, and their expected shares")
    known, counts = np.unique(versions, return_counts=True)
    if set(known.tolist()) - set(shares) or min(shares.values(), default=0) <= 0:
        raise ConfigError(
            "the expected shares do not name the policy versions of the log",
            expected=", ".join(known.tolist())[:80],
            got=", ".join(f"{key}={share:g}" for key, share in shares.items())[:80],
        )
    seen = dict(zip(known.tolist(), counts.tolist(), strict=True))
    observed = np.array([seen.get(version, 0) for version in shares])
    expected = np.array(list(shares.values())) / sum(shares.values()) * observed.sum()
    statistic = float(np.sum((observed - expected) ** 2 / expected))
    p_value = _tail(max(len(shares) - 1, 1), statistic)
    told = ", ".join(f"{version}: {n:,} of {e:,.0f}" for version, n, e in zip(shares, observed, expected, strict=True))
    return AuditCheck(name, _status(p_value, alpha), told, statistic, p_value)


def _missing_outcomes(decisions: Decisions, alpha: float) -> AuditCheck:
    name, missing = "missing outcomes", np.isnan(decisions.reward) & decisions.in_range
    if not missing.any():
        return AuditCheck(name, "pass", "every decision has a reward")
    share = float(missing.mean())
    if missing.all():
        return AuditCheck(name, "warn", "no decision has a reward")
    counts = np.bincount(decisions.action[decisions.in_range], minlength=decisions.num_arms or 1)
    lost = np.bincount(decisions.action[missing], minlength=decisions.num_arms or 1)
    used = counts > 0
    expected = counts[used] * share
    statistic = float(np.sum((lost[used] - expected) ** 2 / (expected * (1 - share))))
    p_value = _tail(max(int(used.sum()) - 1, 1), statistic)
    told, status = f"{share:.1%} of the rewards are not there", _status(p_value, alpha)
    if share > MOST_MISSING and status == "pass":
        status = "warn"
        told += f"; from {MOST_MISSING:.0%} on nothing is learned or estimated without --default-reward"
    if p_value < alpha:
        rates = lost / np.maximum(counts, 1)
        worst = np.argsort(-np.where(used, np.abs(rates - share) * np.sqrt(counts), 0))[:_MAX_NAMED]
        told += "; " + ", ".join(f"arm {a}: {rates[a]:.1%}" for a in worst)
    return AuditCheck(name, status, told, statistic, p_value)
