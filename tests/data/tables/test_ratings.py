"""Ratings: files as the package ships them, written small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jaxdaw.data import load_movielens
from jaxdaw.errors import ConfigError

RATINGS = {(1, 10): 5.0, (1, 20): 3.0, (2, 10): 4.0, (3, 10): 1.0, (3, 20): 2.0, (3, 30): 5.0}


@pytest.fixture
def movielens(tmp_path: Path) -> Path:
    lines = "\n".join(f"{user}\t{item}\t{rating}\t0" for (user, item), rating in RATINGS.items())
    (tmp_path / "ml-100k.inter").write_text(f"user_id:token\titem_id:token\trating:float\ttimestamp:float\n{lines}\n")
    titles = 'item_id:token\tmovie_title:token_seq\trelease_year:token\n10\tTen\t1\n20\t"Twenty\t1\n30\tThirty\t1\n'
    (tmp_path / "ml-100k.item").write_text(titles)
    return tmp_path


def test_ratings_are_completed_by_their_singular_values(movielens: Path):
    table = load_movielens(items=2, rank=1, path=movielens)
    given = np.array([[5.0, 3, 0], [4, 0, 0], [1, 2, 5]])
    left, values, right = np.linalg.svd(given)
    np.testing.assert_allclose(table.rewards, (values[0] * np.outer(left[:, 0], right[0]))[:, :2], rtol=1e-5)
    assert table.item_names == ("Ten", '"Twenty')  # three ratings and two
    factor = left[:, 0] * np.sqrt(values[0])
    expected = np.abs((factor - factor.mean()) / factor.std())  # the sign of a singular vector is free
    np.testing.assert_allclose(np.abs(table.features[:, 0]), expected, rtol=1e-5)


def test_there_are_only_so_many_movies(movielens: Path):
    with pytest.raises(ConfigError, match="3 items at most"):
        load_movielens(items=4, rank=1, path=movielens)
