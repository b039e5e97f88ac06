"""The table of a log's columns: every reader and writer goes by it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from jaxdaw.data import Decisions
from jaxdaw.data.decisions._columns import COLUMN, COLUMNS, names_of, nearest_column, rename_hint


def test_the_table_has_every_column_of_decisions_once():
    fields = {field.name for field in dataclasses.fields(Decisions)} - {"num_arms", "outcomes"}
    assert set(COLUMN) == fields
    assert len(COLUMNS) == len(fields)
    assert [column.name for column in COLUMNS if column.required] == ["action"]
    assert all(column.meaning for column in COLUMNS)


def test_aliases_mean_one_column_each():
    aliases = [alias for column in COLUMNS for alias in (column.name, *column.aliases)]
    assert len(aliases) == len(set(aliases))


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("propensity", "probability"),
        ("Pscore", "probability"),
        ("rewards", "reward"),
        ("timestamp", "time"),
        ("contxt", "context"),
        ("EventId", "decision_id"),
        ("weather", None),
    ],
)
def test_an_unknown_name_is_traced_to_the_column_it_means(name: str, column: str | None):
    assert nearest_column(name) == column
    assert (rename_hint([name, "zzzzzz"]) is None) == (column is None)


def test_names_are_told_by_their_dtype():
    assert names_of("text") == ("decision_id", "policy_version")
    assert names_of("float64", per_arm=True) == ("probabilities",)


def test_the_page_on_logs_lists_the_columns():
    page = (Path(__file__).parents[3] / "docs" / "logs.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| `([\w.]+)` \| (.*) \|$", page, re.MULTILINE)
    assert rows == [(column.name, column.dtype, column.dsjson, column.meaning) for column in COLUMNS]
