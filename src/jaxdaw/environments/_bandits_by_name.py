"""Bandits by name: synthetic ones, and tables of data read from installed packages."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxdaw import data
from jaxdaw.environments._bandit import BanditEnvironment
from jaxdaw.environments._linear_bandits import BernoulliBandit, DriftingLinearBandit, LinearBandit
from jaxdaw.environments._table_bandits import ClassificationBandit, MushroomBandit, RewardTableBandit
from jaxdaw.environments._wheel import Wheel
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
"""The names that `make_bandit` accepts."""


def make_bandit(name: str, options: dict[str, Any]) -> tuple[BanditEnvironment, dict[str, Any]]:
    """Returns a bandit by name, and a description of it (name, source, licence, labels) as JSON values.

    Args:
      name: one of `BANDITS`, or the path of a CSV file whose last column is the label. A table is a
        `ClassificationBandit`; `eat_mushroom` is the same table as a `MushroomBandit`.
      options: fields of a synthetic bandit, `{"delta": 0.9}`; `path` and `replacement` of a table.

    Raises:
      ConfigError: an unknown name or option.
      ImportError: the package that ships the table is not installed.
    """
    if name in _DRAWN:
        kind, make = _DRAWN[name]
        known = [field.name for field in dataclasses.fields(kind) if field.init]  # type: ignore[arg-type]  # every synthetic bandit is a dataclass
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
