"""Ratings and logged decisions: files as the packages ship them, written small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jaxdaw.data import load_movielens, load_open_bandit
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


def test_logged_decisions_keep_their_propensities(tmp_path: Path):
    path = tmp_path / "bts" / "men"
    path.mkdir(parents=True)
    (path / "men.csv").write_text(
        ",timestamp,item_id,position,click,propensity_score,user_feature_0,user-item_affinity_0,user-item_affinity_1\n"
        "0,2019,1,3,0,0.25,abc,0,0\n1,2019,0,1,1,1e-06,def,0,0\n"
    )
    log = load_open_bandit("bts", "men", tmp_path)
    assert (log.action.tolist(), log.reward.tolist(), log.position.tolist()) == ([1, 0], [0, 1], [3, 1])
    np.testing.assert_allclose(log.propensity, [0.25, 1e-6])
    assert (log.features.tolist(), log.num_actions) == ([[1, 0], [0, 1]], 2)


def test_an_unknown_campaign_is_refused():
    with pytest.raises(ConfigError, match="unknown part"):
        load_open_bandit("random", "children")  # type: ignore[arg-type]  # what is refused
