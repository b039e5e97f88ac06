"""Bandits by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jaxdaw.environments import ClassificationBandit, LinearBandit, MushroomBandit, Wheel, make_bandit
from jaxdaw.errors import ConfigError


def test_drawn_bandits_take_their_options():
    assert make_bandit("wheel", {"delta": 0.7}) == (Wheel(delta=0.7), {"name": "wheel", "delta": 0.7})
    assert make_bandit("sparse_linear", {})[0] == LinearBandit(nonzero=3)


def test_tables_say_where_they_come_from():
    world, told = make_bandit("digits", {})
    assert isinstance(world, ClassificationBandit)
    assert (world.num_rows, world.num_actions) == (1797, 10)
    assert told["licence"] == "BSD-3-Clause"


def test_mushrooms_are_a_table_or_a_meal(tmp_path: Path):
    (tmp_path / "mushroom.dat").write_text("x, p\ny, e\nx, p\n")
    table, _ = make_bandit("mushroom", {"path": tmp_path})
    meal, _ = make_bandit("eat_mushroom", {"path": tmp_path})
    assert isinstance(table, ClassificationBandit)
    assert isinstance(meal, MushroomBandit)
    np.testing.assert_array_equal(meal.poisonous, [1, 0, 1])


def test_a_csv_is_a_bandit(tmp_path: Path):
    (tmp_path / "mine.csv").write_text("x,label\n1,a\n2,b\n3,a\n")
    world, told = make_bandit(str(tmp_path / "mine.csv"), {})
    assert (world.num_actions, told["labels"]) == (2, ["a", "b"])


@pytest.mark.parametrize(("name", "options", "text"), [
    ("weel", {}, "unknown bandit"),
    ("wheel", {"detla": 0.5}, "has no option 'detla'"),
    ("digits", {"delta": 0.5}, "has no option 'delta'"),
])  # fmt: skip
def test_what_is_not_known_is_refused(name: str, options, text: str):
    with pytest.raises(ConfigError, match=text):
        make_bandit(name, options)
