"""Run directories of version 0.1, read as those of today: their checkpoints and their `config.json`."""

from __future__ import annotations

import re
from typing import Any

_JOB_LEAVES = ("['trainer']", "['loop']", "['environment']", "['counters']", "['states']", "['sums']")


_STATE = (
    (re.compile(r"(\.agent|\['agent'\])\.target(?=\.)"), r"\1.memory.target_q_network"),
    (re.compile(r"(\['agent'\])\.target$"), r"\1.key"),  # cloning kept the key of its noise there
    (re.compile(r"(\.agent)\.target$"), r"\1.memory.num_samples"),
    (re.compile(r"(\.agent|\['agent'\])\.opt_state(?=\[\d)"), r"\1.opt_state['optimizer']"),
    (re.compile(r"^(\['job'\]\['loop'\](\[\d+\])?)\.replay(?=\.|\[)"), r"\1.source"),
)


def leaf_of_0_1(name: str) -> str:
    """Returns the path of today of a checkpoint's leaf; a path of today is itself.

    Version 0.1 had the arrays of a job at the root of the tree, one optimizer, and a target in place of memory and key.

    >>> leaf_of_0_1("['loop'].agent.train_step"), leaf_of_0_1("['job']['loop'].losses")
    ("['job']['loop'].agent.train_step", "['job']['loop'].losses")
    >>> leaf_of_0_1("['loop'].agent.opt_state[0].count"), leaf_of_0_1("['loop'].replay.cursor")
    ("['job']['loop'].agent.opt_state['optimizer'][0].count", "['job']['loop'].source.cursor")
    """
    if name.startswith("['trainer']"):
        name = "['job']" + name.removeprefix("['trainer']")
    elif name.startswith("['best']") and not name.startswith("['best']['"):
        name = "['best']['0']" + name.removeprefix("['best']")
    elif name.startswith(_JOB_LEAVES):
        name = "['job']" + name
    for pattern, today in _STATE:
        name = pattern.sub(today, name)
    return name


def is_new_since_0_1(name: str) -> bool:
    """Returns whether checkpoints of version 0.1 lack this leaf: a seed's key, which then is as the run began."""
    return name.endswith((".agent.key", "['agent'].key"))


def kept_of_0_1(kept: dict[str, Any], algorithm: str) -> dict[str, Any]:
    """Returns the JSON values of a checkpoint as today's have them; those of today are returned as they are."""
    if "version" in kept:
        return kept
    score = kept.get("best")
    if algorithm == "bc":
        best: list[Any] = [{"score": None if score is None else -score, "step": 0, "weights": True}]
    else:
        best = [None if score is None else {"score": score, "step": 0, "weights": False}]
    return {
        "best": best,
        "since_best": kept.get("since_best", 0),
        "seconds": kept.get("seconds", 0.0),
        "metrics": [kept["metrics"]] if "metrics" in kept else None,
        "job": {name: kept[name] for name in ("done", "measured", "refused", "tried", "seconds") if name in kept},
    }


def config_of_0_1(described: dict[str, Any]) -> dict[str, Any]:
    """Returns the contents of a `config.json` as today's have them."""
    if described.get("format") != 1:
        return described
    today = {**described, "format": 2, "changed": {}}
    options = described.get("options")
    if "recipe" not in today and described.get("algorithm") in ("dqn", "bc"):
        limit = options.get("max_episode_steps") if isinstance(options, dict) else None
        recipe = {"id": described.get("environment"), "kwargs": {}, "wrappers": [], "max_episode_steps": limit or None}
        today["recipe"] = recipe if described.get("environment") else None
    return today
