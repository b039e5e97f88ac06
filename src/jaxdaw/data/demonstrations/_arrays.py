"""from_arrays: demonstrations from arrays with the steps of all episodes in sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.data._report import Report
from jaxdaw.data.demonstrations._demonstrations import Demonstrations, conform_shard
from jaxdaw.data.demonstrations._episode import Episode
from jaxdaw.data.demonstrations._infer_specs import infer_action_spec, infer_spec
from jaxdaw.data.demonstrations._shards import HAS_LAST, TERMINATED, TRUNCATED, Shard
from jaxdaw.data.demonstrations._structure import structure_faults
from jaxdaw.errors import SpecError


def from_arrays(
    observations: Any,
    actions: Any,
    rewards: Any = None,
    terminated: Any = None,
    truncated: Any = None,
    *,
    episode_ends: Any = None,
    observation_spec: Any = None,
    action_spec: Any = None,
    metadata: Mapping[str, Any] | None = None,
) -> Demonstrations:
    """Returns the demonstrations of steps that stand one after the other.

    An episode ends where `terminated` or `truncated` is true, or where `episode_ends` says; one that none of the flags
    ends has an unknown end. For episodes that are apart already: `Demonstrations([Episode(...), ...])`.

    Args:
      observations: a nest of `[steps, ...]`; or of `[steps + episodes, ...]`, with the one after each episode's last
        action, which takes `episode_ends`.
      actions: a nest of `[steps, ...]`.
      rewards: `[steps]`, or None.
      terminated: `[steps]` bool, true at the last step of an episode that the world ended.
      truncated: `[steps]` bool, true at the last step of one that was cut.
      episode_ends: `[episodes]` integers that rise, the number of steps up to the end of each; the last is `steps`.
      observation_spec, action_spec, metadata: as in `Demonstrations`.

    Raises:
      SpecError: the lengths disagree, or nothing says where episodes end.

    >>> demonstrations = from_arrays(np.zeros((5, 2)), np.zeros(5, int), terminated=[0, 1, 0, 0, 1])
    >>> demonstrations.lengths
    array([2, 3])
    """
    return assemble(
        observations,
        actions,
        rewards,
        terminated,
        truncated,
        episode_ends=episode_ends,
        observation_spec=observation_spec,
        action_spec=action_spec,
        metadata=metadata,
        copy=True,
    )


def assemble(
    observations: Any,
    actions: Any,
    rewards: Any = None,
    terminated: Any = None,
    truncated: Any = None,
    *,
    episode_ends: Any,
    observation_spec: Any,
    action_spec: Any,
    metadata: Mapping[str, Any] | None,
    copy: bool = False,
) -> Demonstrations:
    """Returns what `from_arrays` does, of arrays that need not be copied because nobody else has them."""
    steps = _count(actions, "actions")
    flags = {name: _flags(name, value, steps) for name, value in (("terminated", terminated), ("truncated", truncated))}
    ends = _ends(episode_ends, flags, steps)
    frames = _count(observations, "observations")
    extra = frames - steps
    if extra not in (0, len(ends)) or (extra and episode_ends is None):
        raise SpecError(
            "observations and actions do not fit together",
            expected=f"{steps} observations, or {steps + len(ends)} and episode_ends",
            got=str(frames),
            fix="one observation before each action; those after the last action of each episode too, or none of them",
        )
    if rewards is not None and np.shape(rewards)[:1] != (steps,):
        raise SpecError("rewards and actions do not fit together", expected=f"[{steps}]", got=str(np.shape(rewards)))

    def held(leaf: Any) -> np.ndarray:
        return np.array(leaf) if copy else np.asarray(leaf)

    observation, action = specs.map_structure(held, observations), specs.map_structure(held, actions)
    reward = None if rewards is None else held(rewards)
    first = Episode(
        specs.map_structure(lambda leaf: leaf[: ends[0] + (extra > 0)], observation),
        specs.map_structure(lambda leaf: leaf[: ends[0]], action),
        None if reward is None else reward[: ends[0]],
    )
    Report.of(structure_faults([first])).raise_if_faulty()  # the others are rows of the same arrays
    last = ends - 1
    bits = TERMINATED * flags["terminated"][last] + TRUNCATED * flags["truncated"][last] + HAS_LAST * (extra > 0)
    shard = Shard(observation, action, reward, np.diff(ends, prepend=0), bits.astype(np.uint8))
    observation_spec = infer_spec([observation]) if observation_spec is None else observation_spec
    action_spec = infer_action_spec([action]) if action_spec is None else action_spec
    shard = conform_shard(shard, observation_spec, action_spec)
    return Demonstrations.from_shards([shard], observation_spec, action_spec, metadata)


def _count(nest: Any, what: str) -> int:
    leaves = specs.flatten_with_path(nest)
    if not leaves or any(np.ndim(leaf) == 0 for _, leaf in leaves):
        fix = "numpy.asarray(steps): a list is a nest of its elements, not an array"
        raise SpecError(f"{what} are no arrays", expected="[steps, ...]", got=type(nest).__name__, fix=fix)
    count = len(leaves[0][1])
    for path, leaf in leaves:
        if len(leaf) != count:
            raise SpecError(f"the leaves of {what} disagree at {path}", expected=str(count), got=str(len(leaf)))
    return count


def _flags(name: str, value: Any, steps: int) -> np.ndarray:
    if value is None:
        return np.zeros(steps, bool)
    flags = np.asarray(value)
    if flags.shape != (steps,) or flags.dtype.kind not in "biuf" or not np.isin(flags, (0, 1)).all():
        got = f"{flags.dtype} {flags.shape}"
        raise SpecError(f"{name} does not say for each step whether it ended", expected=f"bool ({steps},)", got=got)
    return flags.astype(bool)


def _ends(given: Any, flags: Mapping[str, np.ndarray], steps: int) -> np.ndarray:
    flagged = np.flatnonzero(flags["terminated"] | flags["truncated"]) + 1
    if given is None:
        if not flagged.size:
            raise SpecError(
                "nothing says where episodes end",
                expected="terminated, truncated or episode_ends",
                got="no step that ends one",
                fix="from_arrays(..., episode_ends=[len(actions)]) if it is one episode",
            )
        return flagged if flagged[-1] == steps else np.append(flagged, steps)
    ends = np.asarray(given)
    rises = ends.ndim == 1 and ends.size > 0 and ends.dtype.kind in "iu" and np.all(np.diff(ends, prepend=0) > 0)
    if not rises or ends[-1] != steps:
        raise SpecError(
            "episode_ends do not cut the steps into episodes",
            expected=f"integers that rise from above 0 to {steps}",
            got=str(ends.tolist())[:60],
            fix="numpy.cumsum([len(episode) for episode in episodes])",
        )
    strays = np.setdiff1d(flagged, ends)
    if strays.size:
        raise SpecError(
            "an episode goes on after a step that ended it",
            expected="terminated and truncated only where episode_ends says",
            got=f"step {int(strays[0]) - 1}",
        )
    return ends.astype(np.int64)
