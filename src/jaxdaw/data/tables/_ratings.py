"""MovieLens ratings, completed to a table of rewards."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxdaw.data._package_files import python_file
from jaxdaw.data.tables._encoding import encode_features
from jaxdaw.errors import ConfigError


class RatingTable(NamedTuple):
    """The rating of every user for every item, completed from the known ratings.

    Attributes:
      name: of the table.
      features: `[users, rank]` float32, standardized: the users' factors.
      rewards: `[users, items]` float32, the completed ratings.
      item_names: titles, the most rated first.
      source: the package that it was read from, and who made it.
      licence: what is known about it.
    """

    name: str
    features: np.ndarray
    rewards: np.ndarray
    item_names: tuple[str, ...]
    source: str
    licence: str


def load_movielens(items: int = 20, rank: int = 20, path: str | Path | None = None) -> RatingTable:
    """Returns MovieLens-100K as a bandit: a context is a user, an action one of the most rated movies.

    Ratings that nobody gave come from the ratings' singular value decomposition, as in TF-Agents' MovieLens
    environment: regret is against that completion, not against what people said.

    Args:
      items: movies, the most rated.
      rank: singular values kept, entries of a context.
      path: a folder that holds `ml-100k.inter`; None looks where recbole is installed.

    Raises:
      ImportError: recbole is not installed; the message has the line that installs it.
      ConfigError: more items or factors than there are.
    """
    folder, fix = "recbole/dataset_example/ml-100k", "pip install --no-deps recbole"
    ratings = _tab_separated(python_file("recbole", f"{folder}/ml-100k.inter", path, "movielens", fix))
    titles = _tab_separated(python_file("recbole", f"{folder}/ml-100k.item", path, "movielens", fix))
    users, user = np.unique(np.asarray(ratings["user_id"], np.int64), return_inverse=True)
    movies, movie = np.unique(np.asarray(ratings["item_id"], np.int64), return_inverse=True)
    if not 1 <= items <= len(movies) or not 1 <= rank <= min(len(users), len(movies)):
        raise ConfigError(
            "movielens has fewer items or factors", expected=f"{len(movies)} items at most", got=f"{items}, rank {rank}"
        )
    given = np.zeros((len(users), len(movies)))
    given[user, movie] = np.asarray(ratings["rating"], np.float64)
    left, values, right = np.linalg.svd(given, full_matrices=False)
    completed = (left[:, :rank] * values[:rank]) @ right[:rank]
    most_rated = np.argsort(-np.bincount(movie), kind="stable")[:items]
    factors = left[:, :rank] * np.sqrt(values[:rank])
    features, _ = encode_features([f"factor{k}" for k in range(rank)], list(factors.T))
    names = dict(zip((int(number) for number in titles["item_id"]), titles["movie_title"], strict=True))
    return RatingTable(
        "movielens",
        features,
        completed[:, most_rated].astype(np.float32),
        tuple(names[int(movies[place])] for place in most_rated),
        "recbole (MovieLens-100K, GroupLens)",
        "GroupLens: research only, not to be redistributed",
    )


def _tab_separated(path: Path) -> dict[str, list[str]]:
    """Returns the columns of a file whose header says `name:kind`."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    names = [name.partition(":")[0] for name in rows[0]]
    return {name: [row[place] for row in rows[1:]] for place, name in enumerate(names)}
