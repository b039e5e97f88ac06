"""Checks that episodes have one structure, one dtype and shape for each leaf, and lengths that agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.data._report import Fault, places
from jaxdaw.data.demonstrations._episode import Episode
from jaxdaw.errors import SpecError

_NO_EPISODES = Fault(
    "there are no episodes", expected="at least 1", got="0", fix="read the file that holds them, or another split"
)


def structure_faults(episodes: Sequence[Episode]) -> list[Fault]:
    """Returns what keeps episodes from being one set of arrays; what they hold is not looked at."""
    if not episodes:
        return [_NO_EPISODES]
    found = _Collection()
    layout = _layout(episodes[0])
    for index, episode in enumerate(episodes):
        _examine(index, episode, layout, found)
    with_reward = [index for index, episode in enumerate(episodes) if episode.reward is not None]
    if 0 < len(with_reward) < len(episodes):
        without = sorted(set(range(len(episodes))) - set(with_reward))
        found.add("rewards are there for some episodes only", f"episode {without[0]}", "all or none", "None")
    return found.faults()


class _Collection:
    """Counts faults that are alike."""

    def __init__(self):
        self._places: dict[str, list[str]] = defaultdict(list)
        self._first: dict[str, tuple[str, str, str | None]] = {}

    def add(self, what: str, place: str, expected: str, got: str, fix: str | None = None) -> None:
        self._places[what].append(place)
        self._first.setdefault(what, (expected, got, fix))

    def faults(self) -> list[Fault]:
        return [
            Fault(what, len(found), places(found, "{}"), *self._first[what]) for what, found in self._places.items()
        ]


def _layout(episode: Episode) -> dict[str, Any]:
    return {name: _or_none(getattr(episode, name)) for name in ("observation", "action")}


def _or_none(nest: Any) -> Any:
    try:
        return [(path, np.asarray(leaf)) for path, leaf in specs.flatten_with_path(nest)]
    except (SpecError, ValueError):  # None in place of a leaf, or lists of unequal lengths
        return None


def _examine(index: int, episode: Episode, layout: dict[str, Any], found: _Collection) -> None:
    place = f"episode {index}"
    add: Callable[..., None] = found.add
    leaves = _layout(episode)
    for name, own in leaves.items():
        if not own or any(leaf.ndim == 0 or leaf.dtype.kind not in "biufV" for _, leaf in own):
            got = "nothing" if not own else str(next((leaf.dtype for _, leaf in own if leaf.dtype.kind == "O"), "()"))
            add(f"{name} is no nest of arrays of numbers", place, "arrays [T, ...]", got, "numpy.stack(steps)")
            return
        first = layout[name]
        if not first or [path for path, _ in own] != [path for path, _ in first]:
            add(f"{name} has other leaves than in episode 0", place, _paths(first), _paths(own))
            continue
        for (path, leaf), (_, like) in zip(own, first, strict=True):
            if leaf.shape[1:] != like.shape[1:]:
                add(
                    f"{name}{path} has another shape than in episode 0",
                    place,
                    str(("T", *like.shape[1:])),
                    str(leaf.shape),
                )
            elif leaf.dtype != like.dtype:
                add(f"{name}{path} has another dtype than in episode 0", place, str(like.dtype), str(leaf.dtype))
    length = len(leaves["action"][0][1])
    if length == 0:
        add("an episode has no action", place, "at least 1", "0", "leave the episode out")
    for path, leaf in leaves["action"]:
        if len(leaf) != length:
            add(f"the leaves of action disagree on T at {path}", place, str(length), str(len(leaf)))
    frames = len(leaves["observation"][0][1])
    if frames not in (length, length + 1):
        fix = (
            "observation[:-1]" if frames == length + 2 else "one observation before each action, and one after the last"
        )
        add(
            "observation and action do not fit together",
            place,
            f"{length} or {length + 1} observations",
            f"{frames}",
            fix,
        )
    for path, leaf in leaves["observation"]:
        if len(leaf) != frames:
            add(f"the leaves of observation disagree on T at {path}", place, str(frames), str(len(leaf)))
    if episode.reward is not None:
        reward = np.asarray(episode.reward)
        if reward.shape != (length,) or reward.dtype.kind not in "biuf":
            got = f"{reward.dtype} {reward.shape}"
            fix = "reward[1:], if it begins with the 0 of the first step" if reward.shape == (length + 1,) else None
            fix = "reward[:, 0]" if reward.shape == (length, 1) else fix
            add("reward and action do not fit together", place, f"({length},) numbers", got, fix)


def _paths(leaves: Any) -> str:
    return ", ".join(path or "a single array" for path, _ in leaves[:4]) if leaves else "nothing"
