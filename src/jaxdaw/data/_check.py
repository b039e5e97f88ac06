"""check: everything that is wrong with demonstrations, at once, before anything learns from them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.data._demonstrations import Demonstrations
from jaxdaw.data._episodes import Episode
from jaxdaw.data._report import Fault, Report, places
from jaxdaw.data._structure import structure_faults
from jaxdaw.errors import SpecError
from jaxdaw.specs import BoundedTensorSpec, TensorSpec

_FLOAT32_MAX = float(np.finfo(np.float32).max)


def check(episodes: Sequence[Episode], observation_spec: Any = None, action_spec: Any = None) -> Report:
    """Returns everything that is wrong with demonstrations; nothing is raised and nothing changed. Reads all of them.

    Args:
      episodes: `Demonstrations`, or episodes that could not become some.
      observation_spec, action_spec: nests of specs that they should match, such as those of the environment to act in;
        None: their own.

    >>> report = check([Episode(np.zeros((4, 2)), np.array([0, 1, 7]), terminated=True)],
    ...                action_spec=BoundedTensorSpec((), "int64", 0, 1))
    >>> print(report.errors[0].text)
    action is out of range, at episode 0 step 2
      expected  0 to 1          got  7
      Fix: leave these episodes out, or give the action_spec that they were recorded with
    """
    if isinstance(episodes, Demonstrations):
        demonstrations, faults = episodes, []
    else:
        faults = structure_faults(episodes)
        if faults:
            return Report.of(faults)
        try:
            demonstrations = Demonstrations(episodes)
        except SpecError as error:
            return Report.of([Fault(str(error))])
    wanted = {"observation": observation_spec, "action": action_spec}
    for name, spec in wanted.items():
        own = getattr(demonstrations, f"{name}_spec")
        mismatch = None if spec is None else _mismatch(name, own, spec)
        if mismatch is not None:
            faults.append(mismatch)
            spec = own
        faults += _leaf_faults(demonstrations, name, own if spec is None else spec)
    faults += _reward_faults(demonstrations)
    faults += _ending_faults(demonstrations)
    faults += _class_faults(demonstrations)
    faults += _duplicates(demonstrations)
    return Report.of(faults)


class _Sightings:
    """Counts values that are wrong, and keeps where the first were."""

    def __init__(self):
        self.count = 0
        self.rows: list[str] = []
        self.first: Any = None

    def see(self, wrong: np.ndarray, leaf: np.ndarray, episode: int) -> None:
        """Adds the true entries of `wrong`, `[T, ...]`."""
        found = int(wrong.sum())
        if found:
            if self.count == 0:
                self.first = leaf[tuple(np.argwhere(wrong)[0])]
            self.count += found
            if len(self.rows) < 3:
                steps = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))
                self.rows += [f"episode {episode} step {step}" for step in steps[: 3 - len(self.rows)]]

    def fault(self, what: str, expected: str, fix: str, *, is_error: bool = True) -> list[Fault]:
        """Returns the fault, if something was seen."""
        got = str(self.first)
        return [Fault(what, self.count, tuple(self.rows), expected, got, fix, is_error)] if self.count else []


def _mismatch(name: str, own: Any, wanted: Any) -> Fault | None:
    """Returns the fault of demonstrations that are of another kind than they should be; bounds are looked at later."""
    try:
        specs.assert_same_structure(wanted, own, what=name)
    except SpecError as error:
        return Fault(str(error))
    for (path, leaf), found in zip(specs.flatten_with_path(wanted), specs.flatten(own), strict=True):
        kinds = [spec.dtype.kind.replace("V", "f").replace("u", "i") for spec in (leaf, found)]
        if leaf.shape != found.shape or kinds[0] != kinds[1]:
            return Fault(
                f"{name}{path} is of another kind than its spec",
                expected=f"{leaf.dtype} {leaf.shape}",
                got=f"{found.dtype} {found.shape}",
                fix=f"the {name}s of the environment that they were recorded in",
            )
    return None


def _leaf_faults(demonstrations: Demonstrations, name: str, spec: Any) -> list[Fault]:
    faults: list[Fault] = []
    for index, (path, leaf) in enumerate(specs.flatten_with_path(spec)):
        arrays = (specs.flatten(getattr(episode, name))[index] for episode in demonstrations)
        faults += _faults_of_leaf(f"{name}{path}", name, leaf, arrays)
    return faults


def _faults_of_leaf(what: str, name: str, spec: TensorSpec, arrays: Any) -> list[Fault]:
    not_finite, outside, too_large = _Sightings(), _Sightings(), _Sightings()
    low = high = None
    frames = 0
    for episode, array in enumerate(arrays):
        array = np.asarray(array)
        frames += len(array)
        exact = array.astype(np.float64) if array.dtype.kind == "V" else array  # bfloat16
        if exact.dtype.kind == "f":
            finite = np.isfinite(exact)
            not_finite.see(~finite, array, episode)
            if exact.dtype == np.float64:
                too_large.see(finite & (np.abs(exact) > _FLOAT32_MAX), array, episode)
        else:
            finite = np.ones(exact.shape, bool)
        if isinstance(spec, BoundedTensorSpec):
            outside.see(finite & ~((exact >= spec.minimum) & (exact <= spec.maximum)), array, episode)
        low = exact.min(axis=0) if low is None else np.minimum(low, exact.min(axis=0))
        high = exact.max(axis=0) if high is None else np.maximum(high, exact.max(axis=0))
    faults = not_finite.fault(f"{what} is not finite", "finite numbers", "leave these episodes out")
    fix = f"leave these episodes out, or give the {name}_spec that they were recorded with"
    bounds = f"{spec.minimum.min()} to {spec.maximum.max()}" if isinstance(spec, BoundedTensorSpec) else ""
    faults += outside.fault(f"{what} is out of range", bounds, fix, is_error=name == "action")
    faults += too_large.fault(f"{what} does not fit float32", f"at most {_FLOAT32_MAX:.3g}", "scale it when recording")
    if name == "observation" and frames > 1:
        faults += _constant(what, np.asarray(low), np.asarray(high))
    return faults


def _constant(what: str, low: np.ndarray, high: np.ndarray) -> list[Fault]:
    still = np.argwhere(low == high)
    if not still.size and low.shape:
        return []
    if not low.shape and low != high:
        return []
    where = places([list(map(int, index)) for index in still], "column {}") if low.shape else ()
    count = len(still) if low.shape else 1
    fix = "leave the column out, if the environment never changes it either; else record more"
    got = f"{low.flat[0] if not low.shape else low[tuple(still[0])]} throughout"
    return [Fault(f"{what} never changes", count, where, "values that differ", got, fix, is_error=False)]


def _reward_faults(demonstrations: Demonstrations) -> list[Fault]:
    if not demonstrations.has_rewards:
        return []
    not_finite, too_large = _Sightings(), _Sightings()
    for index, episode in enumerate(demonstrations):
        reward = np.asarray(episode.reward)
        finite = np.isfinite(reward)
        not_finite.see(~finite, reward, index)
        too_large.see(finite & (np.abs(reward) > _FLOAT32_MAX), reward, index)
    fix = "leave these episodes out, or all rewards: cloning needs none"
    return [
        *not_finite.fault("reward is not finite", "finite numbers", fix),
        *too_large.fault("reward does not fit float32", f"at most {_FLOAT32_MAX:.3g}", "scale it when recording"),
    ]


def _ending_faults(demonstrations: Demonstrations) -> list[Fault]:
    faults = []
    unknown = np.flatnonzero(~demonstrations.terminated & ~demonstrations.truncated)
    if unknown.size:
        fault = Fault(
            "it is not known how an episode ended",
            unknown.size,
            places(unknown.tolist()),
            "terminated or truncated",
            "neither",
            "Episode(..., terminated=True) where the world ended it; cloning needs neither",
            is_error=False,
        )
        faults.append(fault)
    blind = [index for index, episode in enumerate(demonstrations) if not episode.has_last_observation]
    if blind:
        fault = Fault(
            "the observation after the last action is missing",
            len(blind),
            places(blind),
            "T + 1 observations",
            "T",
            "record it: values cannot be bootstrapped at a truncation without it; cloning needs none",
            is_error=False,
        )
        faults.append(fault)
    return faults


def _class_faults(demonstrations: Demonstrations) -> list[Fault]:
    faults = []
    for index, (path, spec) in enumerate(specs.flatten_with_path(demonstrations.action_spec)):
        if not specs.is_discrete(spec) or spec.shape:
            continue
        seen: set[int] = set()
        for episode in demonstrations:
            seen.update(np.unique(specs.flatten(episode.action)[index]).tolist())
        if len(seen) == 1:
            fix = "record the other actions too"
            got = f"{seen.pop()} throughout"
            faults.append(Fault(f"action{path} is always the same", expected="at least 2 actions", got=got, fix=fix))
    return faults


def _duplicates(demonstrations: Demonstrations) -> list[Fault]:
    seen: dict[bytes, int] = {}
    twice: list[tuple[int, int]] = []
    for index, episode in enumerate(demonstrations):
        digest = hashlib.sha256()
        for leaf in specs.flatten((episode.observation, episode.action)):
            digest.update(np.ascontiguousarray(leaf).reshape(-1).view(np.uint8).data)
        first = seen.setdefault(digest.digest(), index)
        if first != index:
            twice.append((index, first))
    if not twice:
        return []
    where = tuple(f"episode {index} as {first}" for index, first in twice[:3])
    fix = "leave copies out: they count twice, and stand on both sides of a split"
    return [Fault("an episode is there twice", len(twice), where, "episodes that differ", fix=fix, is_error=False)]
