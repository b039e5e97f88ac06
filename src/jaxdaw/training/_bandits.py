"""Bandits by name: those that are drawn, and tables from packages that ship them."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxdaw import data
from jaxdaw.environments import (
    BanditEnvironment,
    BernoulliBandit,
    ClassificationBandit,
    DriftingLinearBandit,
    LinearBandit,
    MushroomBandit,
    RewardTableBandit,
    Wheel,
)
from jaxdaw.errors import ConfigError


def _sparse(**options: Any) -> LinearBandit:
    return LinearBandit(**{"nonzero": 3, **options})


_DRAWN: dict[str, tuple[type[BanditEnvironment], Callable[..., BanditEnvironment]]] = {
    "bernoulli": (BernoulliBandit, BernoulliBandit),
    "drifting": (DriftingLinearBandit, DriftingLinearBandit),
    "linear": (LinearBandit, LinearBandit),
    "sparse_linear": (LinearBandit, _sparse),
    "wheel": (Wheel, Wheel),
}

BANDITS = (*_DRAWN, "eat_mushroom", "movielens", *data.TABLES)
"""The names that `make_bandit` knows."""


def make_bandit(name: str, options: dict[str, Any]) -> tuple[BanditEnvironment, dict[str, Any]]:
    """Returns a bandit by name, and what is to be known about it, as JSON.

    Args:
      name: one of `BANDITS`, or the path of a CSV file whose last column is the label. A table is a
        `ClassificationBandit`; `eat_mushroom` is the same table as a `MushroomBandit`.
      options: fields of a bandit that is drawn, `{"delta": 0.9}`; of a table `path` and `replacement`.

    Raises:
      ConfigError: an unknown name or option.
      ImportError: the package that a table lies in is not installed.
    """
    if name in _DRAWN:
        kind, make = _DRAWN[name]
        known = [field.name for field in dataclasses.fields(kind) if field.init]  # type: ignore[arg-type]  # dataclasses all
        _refuse_unknown(name, options, known)
        return make(**options), {"name": name, **options}
    if name not in BANDITS and Path(name).suffix != ".csv":
        close = difflib.get_close_matches(name, BANDITS, 1)
        raise ConfigError(
            "unknown bandit",
            expected=", ".join(BANDITS) + ", or a .csv",
            got=repr(name),
            fix=f"did you mean {close[0]}?" if close else None,
        )
    _refuse_unknown(name, options, ["path", "replacement"] if name != "movielens" else ["path"])
    path, replacement = options.get("path"), bool(options.get("replacement", False))
    if name == "movielens":
        ratings = data.load_movielens(path=path)
        known_about = {"name": name, "source": ratings.source, "licence": ratings.licence}
        return RewardTableBandit(ratings.features, ratings.rewards), known_about
    table = data.load_table("mushroom" if name == "eat_mushroom" else name, path)
    known_about = {"name": name, "source": table.source, "licence": table.licence, "labels": list(table.label_names)}
    if name == "eat_mushroom":
        poisonous = table.labels == table.label_names.index("p")
        return MushroomBandit(table.features, poisonous, replacement), known_about
    return ClassificationBandit(table.features, table.labels, table.num_classes, replacement), known_about


def _refuse_unknown(name: str, options: dict[str, Any], known: list[str]) -> None:
    for option in options:
        if option not in known:
            raise ConfigError(f"'{name}' has no option '{option}'", expected=", ".join(known), got=option)
