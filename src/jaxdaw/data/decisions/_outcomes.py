"""Outcomes that arrive after their decisions: joined by id; those that do not join are counted."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from jaxdaw.data.decisions._columns import TEXT
from jaxdaw.errors import ConfigError, SpecError


class Outcomes(NamedTuple):
    """How rewards were joined to decisions.

    Attributes:
      joined: decisions with an outcome in time.
      expired: decisions without one until the expiry, which have the default reward.
      pending: decisions without one, whose reward is NaN.
      late: outcomes after the expiry, which changed nothing.
      repeated: outcomes whose decision had one already, and the same reward: the first counts.
      conflicting: the same, with another reward: the first counts.
      unknown: outcomes of no decision.
      unknown_ids: of these, the first three.
      not_finite: outcomes of NaN or infinity, which are joined, and are for `check_decisions` to tell.
      unfinished: whether a file ended within a row, as a writer that was killed leaves it.
    """

    joined: int = 0
    expired: int = 0
    pending: int = 0
    late: int = 0
    repeated: int = 0
    conflicting: int = 0
    unknown: int = 0
    unknown_ids: tuple[str, ...] = ()
    not_finite: int = 0
    unfinished: bool = False

    def __str__(self) -> str:
        """Returns the counts that are not 0 in one line."""
        counts = [(name, getattr(self, name)) for name in self._fields if name not in ("unknown_ids", "unfinished")]
        told = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts if count)
        return (told or "none") + (f" ({', '.join(self.unknown_ids)})" if self.unknown_ids else "")


class OutcomeTable(NamedTuple):
    """Outcomes in the order in which they came: `decision_id` `[M]` text, `reward` `[M]`, `time` `[M]` or None."""

    decision_id: np.ndarray
    reward: np.ndarray
    time: np.ndarray | None = None


def join_outcomes(
    decision_id: np.ndarray | None,
    time: np.ndarray | None,
    reward: np.ndarray,
    table: OutcomeTable,
    *,
    default_reward: float | None = None,
    expiry_s: float | None = None,
    now: float | None = None,
) -> tuple[np.ndarray, Outcomes]:
    """Returns the rewards of decisions with what their outcomes say, and how that went.

    Args:
      decision_id: `[N]` text, or None if there are no outcomes to join.
      time: `[N]` seconds, of the decisions; None if nothing expires.
      reward: `[N]`, NaN where none came with the decision.
      table: the outcomes.
      default_reward: of a decision without an outcome: of each, or with `expiry_s` of those that are older.
      expiry_s: seconds after a decision; later outcomes do not count. None waits for ever.
      now: seconds since 1970 by which age is judged; None is the last time in the log.

    Raises:
      SpecError: outcomes without decision ids, an id twice, or an expiry without times.
      ConfigError: an expiry below 0.
    """
    if expiry_s is not None and not expiry_s >= 0:
        raise ConfigError("expiry_s is outside its range", expected="at least 0 seconds", got=str(expiry_s))
    if expiry_s is not None and time is None:
        raise SpecError("an expiry needs the times of the decisions", expected="time [N]", got="none")
    found = np.array(reward, np.float64)
    own = ~np.isnan(found)
    counts = {"late": 0, "repeated": 0, "conflicting": 0, "unknown": 0}
    unknown_ids: tuple[str, ...] = ()
    if len(table.decision_id):
        if decision_id is None:
            raise SpecError("outcomes have no decisions to join", expected="decision_id in every row", got="none")
        row, known = _rows(np.asarray(decision_id, TEXT), np.asarray(table.decision_id, TEXT))
        unknown_ids = tuple(map(str, table.decision_id[~known][:3]))
        counts["unknown"] = int((~known).sum())
        place = np.flatnonzero(known)
        if expiry_s is not None and table.time is not None and time is not None:
            is_late = table.time[place] > time[row[place]] + expiry_s
            counts["late"] = int(is_late.sum())
            place = place[~is_late]
        if table.time is not None:
            place = place[np.argsort(table.time[place], kind="stable")]
        first, where = np.unique(row[place], return_index=True)
        fresh = ~own[first]
        repeats = np.ones(len(place), bool)
        repeats[where[fresh]] = False
        found[first[fresh]] = table.reward[place[where[fresh]]]
        again = place[repeats]
        differs = (table.reward[again] != found[row[again]]) & ~np.isnan(found[row[again]])
        counts["repeated"], counts["conflicting"] = int((~differs).sum()), int(differs.sum())
        own[first] = True
    joined, expired = int(own.sum()), 0
    if default_reward is not None:
        over = ~own
        if expiry_s is not None and time is not None:
            times = [time] if table.time is None else [time, table.time]
            latest = max(float(np.nanmax(each, initial=-np.inf)) for each in times) if now is None else now
            over &= time + expiry_s < latest
        found[over] = default_reward
        expired = int(over.sum())
    not_finite = int((own & ~np.isfinite(found)).sum())
    pending = len(found) - joined - expired
    return found, Outcomes(
        joined,
        expired,
        pending,
        counts["late"],
        counts["repeated"],
        counts["conflicting"],
        counts["unknown"],
        unknown_ids,
        not_finite,
    )


def _rows(ids: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the row of each wanted id, and whether there is one."""
    names = ids.tolist()
    place = dict(zip(names, range(len(names)), strict=True))  # np.searchsorted is wrong about text of two arrays
    if len(place) < len(names):
        repeated = [name for name, count in Counter(names).items() if count > 1]
        raise SpecError(
            f"{len(names) - len(place):,} decision ids are there twice, so their outcomes cannot be told apart",
            expected="each once",
            got=", ".join(sorted(name[:40] for name in repeated)[:3]),
            cause="a service that retried, or two logs that number their decisions alike.",
        )
    row = np.fromiter((place.get(name, -1) for name in wanted.tolist()), np.int64, len(wanted))
    return np.maximum(row, 0), row >= 0


def empty_table() -> OutcomeTable:
    """Returns no outcomes."""
    return OutcomeTable(np.zeros(0, TEXT), np.zeros(0))


def stack_tables(tables: list[OutcomeTable]) -> OutcomeTable:
    """Returns the outcomes of several tables, one after the other; times only if all have them."""
    filled = [table for table in tables if len(table.decision_id)]
    if not filled:
        return empty_table()
    times: list[Any] = [table.time for table in filled]
    return OutcomeTable(
        np.concatenate([table.decision_id for table in filled]),
        np.concatenate([table.reward for table in filled]),
        None if any(time is None for time in times) else np.concatenate(times),
    )
