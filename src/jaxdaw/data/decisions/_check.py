"""check_decisions: lists the values of a log that make it unusable for evaluation and training."""

from __future__ import annotations

import warnings

import numpy as np

from jaxdaw import specs
from jaxdaw.data._report import Fault, Report, places
from jaxdaw.data.decisions._columns import names_of
from jaxdaw.data.decisions._decisions import TOLERANCE, Decisions, chosen
from jaxdaw.errors import JaxdawWarning

MOST_MISSING = 0.05
"""The share of decisions without a reward up to which they are left out."""


def check_decisions(decisions: Decisions, *, needs_probability: bool = True, needs_reward: bool = True) -> Report:
    """Returns everything that is wrong with logged decisions, each thing once, with counts and the first rows.

    Args:
      decisions: the log.
      needs_probability: False where nothing weights by it.
      needs_reward: False before the outcomes have come.

    >>> print(check_decisions(Decisions(action=[0, 1], reward=[1.0, 0.0], probability=[0.5, 0.0])))
    probabilities of the chosen arm outside (0, 1], at row 1
      expected  above 0, at most 1          got  0.0
      Fix: log the probability of the arm that was taken, after masks, exploration and ties
    """
    if not len(decisions):
        return Report.of([Fault("the log holds no decisions", fix="a log with at least one row")])
    faults: list[Fault] = []

    def tell(rows: np.ndarray, what: str, expected: str, column: np.ndarray | None, fix: str) -> None:
        found = np.flatnonzero(rows)
        if len(found):
            got = None if column is None else str(column[found[0]])
            faults.append(
                Fault(what, len(found), places(found[:3].tolist(), "row {}"), expected, got or "otherwise", fix)
            )

    arms = f"0..{(decisions.num_arms or 1) - 1}"
    tell(~decisions.in_range, "chosen arms that do not exist", arms, decisions.action, "the number of the arm, from 0")
    if decisions.eligible is not None:
        eligible = decisions.eligible
        tell(~eligible.any(axis=1), "decisions without an eligible arm", "one at least", None, "log the eligible arms")
        not_eligible = decisions.in_range & ~(chosen(eligible, decisions.action) == 1)
        fix = "the eligible arms as they were when the decision was made"
        tell(not_eligible, "chosen arms that were not eligible", "an eligible arm", decisions.action, fix)
    if needs_probability:
        value = decisions.probability
        fix = "jaxdaw ope LOG --estimate-propensities, or select() the rows that have one"
        tell(np.isnan(value), "probabilities that were not logged", "one in each row", None, fix)
        fix = "log the probability of the arm that was taken, after masks, exploration and ties"
        outside = ~np.isnan(value) & ~decisions.is_possible
        tell(outside, "probabilities of the chosen arm outside (0, 1]", "above 0, at most 1", value, fix)
    if decisions.probabilities is not None:
        tables = decisions.probabilities
        fix = "log the probabilities after masks, exploration and ties"
        tell(
            ~((tables >= 0) & (tables <= 1 + TOLERANCE)).all(axis=1),
            "probabilities outside [0, 1]",
            "0 to 1",
            None,
            fix,
        )
        total = tables.sum(axis=1)
        tell(np.abs(total - 1) > TOLERANCE, "probabilities that do not add up to 1", "1", total, fix)
        own = chosen(tables, decisions.action)
        differs = decisions.in_range & (np.abs(own - decisions.probability) > TOLERANCE)
        what = "two probabilities of the chosen arm that differ"
        tell(differs, what, "the same", decisions.probability, "log one of them")
        if decisions.eligible is not None:
            stray = (tables * ~decisions.eligible).max(axis=1) > 0
            tell(stray, "probabilities above 0 of arms that were not eligible", "0", None, fix)
    if needs_reward:
        missing = np.isnan(decisions.reward)
        fix = "default_reward=0.0 and expiry_s=... (--default-reward), or select() the rows whose outcome has come"
        wanted = f"a number, but in {MOST_MISSING:.0%} of the rows at most, which are left out"
        tell(missing, "decisions without a reward, or with NaN", wanted, decisions.reward, fix)
        tell(np.isinf(decisions.reward), "rewards that are infinite", "a number", decisions.reward, "mend the outcomes")
    for name in (*names_of("nest"), *names_of("nest", per_arm=True)):
        for path, leaf in specs.flatten_with_path(getattr(decisions, name)):
            if leaf.dtype.kind == "f":
                finite = np.isfinite(leaf).reshape(len(leaf), -1).all(axis=1)
                tell(~finite, f"{name}{path} with NaN or infinity", "numbers", None, "numpy.isfinite")
    if decisions.decision_id is not None:
        _, first = np.unique(decisions.decision_id, return_index=True)
        again = np.ones(len(decisions), bool)
        again[first] = False
        fix = "an id for each decision; a retried row is dropped with select()"
        tell(again, "decision ids that were there before", "each once", decisions.decision_id, fix)
    return Report.of(faults)


def is_rewarded(decisions: Decisions) -> np.ndarray:
    """Returns `[N]` bool, which decisions have a reward, if nearly all do: those without are to be left out.

    Where more than 5 % have none it is True for all, and `check_decisions` refuses them: of a log that holds good
    outcomes only, those that are missing are the bad ones.

    Warns:
      JaxdawWarning: how many are to be left out.
    """
    missing = np.isnan(decisions.reward)
    if not missing.any() or missing.mean() > MOST_MISSING:
        return np.ones(len(decisions), bool)
    text = f"{int(missing.sum()):,} of {len(missing):,} decisions have no reward, and are left out"
    fix = "default_reward=0.0 and expiry_s=... (--default-reward), if no outcome means that reward"
    warnings.warn(f"{text}\n  Fix: {fix}", JaxdawWarning, stacklevel=3)
    return ~missing
