"""The columns of a log of decisions: one table that every reader, writer and check of logs goes by."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np

TEXT = np.dtypes.StringDType()
"""The dtype of text: of variable width, so that one long id does not widen those of all other rows."""


class LogColumn(NamedTuple):
    """One column of a log.

    Attributes:
      name: in `Decisions`, in JSON Lines and in Parquet.
      dtype: of the array; `nest` for a nest of arrays of numbers.
      per_arm: whether there is one value for each arm, `[N, A]` or `[N, A, ...]`.
      dsjson: where Vowpal Wabbit's dsjson has it.
      aliases: what other logs call it, for the message that refuses the name.
      required: whether a row without it is no decision.
      meaning: in a few words.
    """

    name: str
    dtype: Literal["int64", "float64", "bool", "text", "nest"]
    per_arm: bool = False
    dsjson: str = ""
    aliases: tuple[str, ...] = ()
    required: bool = False
    meaning: str = ""

    @property
    def numpy_dtype(self) -> Any:
        """The dtype of its array; None for a nest."""
        return {"text": TEXT, "nest": None}.get(self.dtype, self.dtype)


COLUMNS = (
    LogColumn(
        "action",
        "int64",
        dsjson="_labelIndex",
        aliases=("a", "action_id", "arm", "chosen", "chosen_action", "item_id"),
        required=True,
        meaning="the chosen arm, counted from 0",
    ),
    LogColumn("reward", "float64", dsjson="_label_cost", aliases=("click", "label", "r"), meaning="what it earned"),
    LogColumn(
        "probability",
        "float64",
        dsjson="_label_probability",
        aliases=("p", "prob", "propensity", "propensity_score", "pscore"),
        meaning="with which it was chosen",
    ),
    LogColumn("context", "nest", dsjson="c", aliases=("features", "observation", "x"), meaning="what the policy saw"),
    LogColumn(
        "eligible",
        "bool",
        per_arm=True,
        dsjson="c._multi",
        aliases=("allowed", "available", "mask"),
        meaning="which arms could be chosen",
    ),
    LogColumn(
        "probabilities",
        "float64",
        per_arm=True,
        dsjson="p",
        aliases=("action_probs", "probs", "propensities"),
        meaning="of every arm, 0 where it was not eligible",
    ),
    LogColumn(
        "arm_features",
        "nest",
        per_arm=True,
        dsjson="c._multi",
        aliases=("action_features", "arms", "item_features"),
        meaning="what the policy saw of each arm",
    ),
    LogColumn(
        "decision_id",
        "text",
        dsjson="EventId",
        aliases=("event_id", "id", "request_id"),
        meaning="joins decisions with outcomes that come later",
    ),
    LogColumn("time", "float64", dsjson="Timestamp", aliases=("timestamp", "ts"), meaning="seconds since 1970 UTC"),
    LogColumn(
        "policy_version",
        "text",
        dsjson="VWState.m",
        aliases=("model", "model_version", "policy", "version"),
        meaning="of the policy that chose",
    ),
)

COLUMN = {column.name: column for column in COLUMNS}
"""The columns by name."""


def names_of(dtype: str, *, per_arm: bool = False) -> tuple[str, ...]:
    """Returns the names of the columns of a dtype, in the order of the table.

    >>> names_of("float64"), names_of("nest", per_arm=True)
    (('reward', 'probability', 'time'), ('arm_features',))
    """
    return tuple(column.name for column in COLUMNS if column.dtype == dtype and column.per_arm == per_arm)


def nearest_column(name: str) -> str | None:
    """Returns the column that an unknown name most likely means; None if it is like none.

    >>> nearest_column("propensity"), nearest_column("rewrad"), nearest_column("weather")
    ('probability', 'reward', None)
    """
    known: dict[str, str] = {}
    for column in COLUMNS:
        known |= dict.fromkeys((column.name, *column.aliases, *filter(None, [column.dsjson.lower()])), column.name)
    close = difflib.get_close_matches(name.lower()[:100], known, 1, 0.75)
    return known[close[0]] if close else None


def rename_hint(unknown: Iterable[str]) -> str | None:
    """Returns what to do about unknown names, if one of them is like a column."""
    for name in sorted(unknown):
        nearest = nearest_column(name)
        if nearest is not None:
            return f"name it {nearest!r} if {name[:40]!r} is {COLUMN[nearest].meaning}, or leave it out"
    return None
