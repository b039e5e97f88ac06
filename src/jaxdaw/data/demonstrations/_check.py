"""check: lists every fault of demonstrations before anything learns from them."""

from __future__ import annotations

import hashlib
import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.data._report import Fault, Report, places
from jaxdaw.data.demonstrations._bounds import LeafScan
from jaxdaw.data.demonstrations._demonstrations import Demonstrations
from jaxdaw.data.demonstrations._episode import Episode
from jaxdaw.data.demonstrations._shards import Shard
from jaxdaw.data.demonstrations._structure import structure_faults
from jaxdaw.errors import SpecError

_COMPARED = 4096  # bytes of an episode's actions that are enough to tell most episodes apart


def check(episodes: Sequence[Episode], observation_spec: Any = None, action_spec: Any = None) -> Report:
    """Returns everything that is wrong with demonstrations; nothing is raised and nothing changed.

    All actions and rewards are read, once, and of the observations what is not known yet: a directory of jaxdaw keeps
    the bounds of what was written, under its digest, and where these are within the spec only the first and the last of
    each episode are read. What a failing disk made of the others since is for `verify`.

    Args:
      episodes: `Demonstrations`, or episodes that could not become some.
      observation_spec, action_spec: nests of specs that they should match, such as those of the environment to act in;
        None: their own.

    >>> report = check([Episode(np.zeros((4, 2)), np.array([0, 1, 7]), terminated=True)],
    ...                action_spec=specs.BoundedTensorSpec((), "int64", 0, 1))
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
    scans: dict[str, list[LeafScan]] = {}
    for name, spec in wanted.items():
        own = getattr(demonstrations, f"{name}_spec")
        mismatch = None if spec is None else _mismatch(name, own, spec)
        if mismatch is not None:
            faults.append(mismatch)
        leaves = specs.flatten_with_path(own if spec is None or mismatch is not None else spec)
        scans[name] = [LeafScan(f"{name}{path}", leaf) for path, leaf in leaves]
    reward, copies = LeafScan("reward"), _Copies()
    for first, run in demonstrations.runs():
        _look(scans["observation"], scans["action"], reward, first, run)
        copies.look(first, run)
    bad_episodes = "leave these episodes out"
    for name, leaves in scans.items():
        for scan in leaves:
            fix = f"leave these episodes out, or give the {name}_spec that they were recorded with"
            faults += scan.faults(bad_episodes, fix, is_error=name == "action")
            faults += scan.constant() if name == "observation" else []
    faults += reward.faults("leave these episodes out, or all rewards: cloning needs none")
    faults += _ending_faults(demonstrations)
    faults += _class_faults(demonstrations, scans["action"])
    faults += copies.faults(demonstrations)
    return Report.of(faults)


def _look(observation: list[LeafScan], action: list[LeafScan], reward: LeafScan, first: int, run: Shard) -> None:
    """Adds a run of episodes to what was seen of each leaf."""
    lows, highs = (None if nest is None else specs.flatten(nest) for nest in (run.low, run.high))
    for index, (scan, array) in enumerate(zip(observation, specs.flatten(run.observation), strict=True)):
        if lows is None or highs is None or not scan.is_clean(lows[index], highs[index]):
            scan.look(array, first, run.frames)
        else:
            scan.rows += len(array)
    for scan, array in zip(action, specs.flatten(run.action), strict=True):
        scan.look(array, first, run.lengths)
    if run.reward is not None:
        reward.look(run.reward, first, run.lengths)


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
    blind = np.flatnonzero(~demonstrations.has_last_observation).tolist()
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


def _class_faults(demonstrations: Demonstrations, scans: list[LeafScan]) -> list[Fault]:
    faults = []
    for scan, spec in zip(scans, specs.flatten(demonstrations.action_spec), strict=True):
        if specs.is_discrete(spec) and not spec.shape and scan.low == scan.high:
            got, fix = f"{scan.low} throughout", "record the other actions too"
            faults.append(Fault(f"{scan.what} is always the same", expected="at least 2 actions", got=got, fix=fix))
    return faults


class _Copies:
    """Finds episodes that are there twice; at first those that could be, by first actions, first and last frame."""

    def __init__(self):
        self._alike: dict[tuple[int, ...], list[int]] = defaultdict(list)

    def look(self, first: int, run: Shard) -> None:
        """Adds a run of episodes."""
        ends, steps = np.cumsum(run.frames), np.cumsum(run.lengths)
        observation = [(_bytes(leaf), leaf.nbytes // len(leaf)) for leaf in specs.flatten(run.observation)]
        action = [(_bytes(leaf), leaf.nbytes // len(leaf)) for leaf in specs.flatten(run.action)]
        places = zip(run.lengths.tolist(), run.frames.tolist(), ends.tolist(), steps.tolist(), strict=True)
        for index, (length, frames, end, step) in enumerate(places):
            crc = 0
            for contents, size in observation:
                crc = zlib.crc32(contents[(end - frames) * size : (end - frames + 1) * size], crc)
                crc = zlib.crc32(contents[(end - 1) * size : end * size], crc)
            for contents, size in action:
                start = (step - length) * size
                crc = zlib.crc32(contents[start : min(start + _COMPARED, step * size)], crc)
            self._alike[length, frames, crc].append(first + index)

    def faults(self, demonstrations: Demonstrations) -> list[Fault]:
        """Returns the fault of copies; only episodes that could be some are read."""
        twice: list[tuple[int, int]] = []
        for alike in self._alike.values():
            seen: dict[bytes, int] = {}
            for index in alike if len(alike) > 1 else ():
                digest = hashlib.sha256()
                for leaf in specs.flatten((demonstrations[index].observation, demonstrations[index].action)):
                    digest.update(_bytes(leaf))
                first = seen.setdefault(digest.digest(), index)
                if first != index:
                    twice.append((index, first))
        if not twice:
            return []
        where = tuple(f"episode {index} as {first}" for index, first in sorted(twice)[:3])
        fix = "leave copies out: they count twice, and stand on both sides of a split"
        return [Fault("an episode is there twice", len(twice), where, "episodes that differ", fix=fix, is_error=False)]


def _bytes(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
