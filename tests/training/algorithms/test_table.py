"""The table of algorithms: what every row promises."""

import dataclasses

import numpy as np
import pytest

from jaxdaw import training
from jaxdaw.data import Decisions
from jaxdaw.errors import ConfigError
from jaxdaw.training import ALGORITHMS
from jaxdaw.training._bandit_job import BanditSource
from jaxdaw.training._log_job import LogSource


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_row_names_options_that_there_are(name):
    row = ALGORITHMS[name]
    known = {field.name for field in dataclasses.fields(row.config)}
    assert {row.total, *row.resumable, *row.depends, *(other for other, _ in row.depends.values())} <= known
    assert row.summary.endswith(".")
    assert dataclasses.is_dataclass(row.config())
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(row.config(), row.total, 1)
    assert all(getattr(row.config(), other) is not None for other, _ in row.depends.values())


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_option_is_documented(name):
    kind = ALGORITHMS[name].config
    documented = "".join(base.__doc__ or "" for base in kind.__mro__)  # a variant documents what differs
    assert not [field.name for field in dataclasses.fields(kind) if f"\n      {field.name}: " not in documented]


def test_decisions_and_files_of_logs_are_logs_and_all_else_is_a_bandit():
    row = ALGORITHMS["bandit"]
    log = Decisions([0, 1], [0.0, 1.0], [0.5, 0.5], np.ones((2, 1), np.float32))
    assert [row.source_of(what) for what in (log, "log.jsonl", "log.parquet")] == [LogSource] * 3
    assert [row.source_of(what) for what in ("wheel", "table.csv", None)] == [BanditSource] * 3
    assert row.source_of(None, is_log=True) is LogSource


def test_options_of_one_source_are_not_those_of_another():
    for name, what, option in (
        ("dqn", "jax:CartPole-v1", "warm_start"),
        ("bandit", "bernoulli", "importance"),
        ("bc", "tests/files/0.1/demonstrations", "bandit_options"),
    ):
        with pytest.raises(ConfigError, match=f"unknown option '{option}'"):
            training.train(name, what, **{option: None})
