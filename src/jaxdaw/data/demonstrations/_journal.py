"""The journal of a directory of demonstrations: one record for each episode that is not in a shard yet.

The first record holds the manifest, without episodes: `repair` reads the specs from it if `manifest.json` is lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdaw.data.demonstrations._episode import Episode
from jaxdaw.data.demonstrations._manifest import (
    KIND,
    Manifest,
    ShardEntry,
    arrays_of,
    decode_manifest,
    encode_manifest,
    expected_arrays,
    nests_of,
)
from jaxdaw.data.demonstrations._shards import TERMINATED, TRUNCATED, Shard, flags_of
from jaxdaw.storage import encode_record, opened, parse_json, read_record


class Journal(NamedTuple):
    """What a journal holds.

    Attributes:
      episodes: the sound ones from its start, as views of the file.
      size: bytes of these.
      problem: what follows them, in words; None for nothing.
      torn: whether that is what a write that was cut short leaves behind.
      manifest: what its first record says that the manifest is; None for nothing.
    """

    episodes: list[Episode]
    size: int
    problem: str | None = None
    torn: bool = False
    manifest: Manifest | None = None


def encode(episode: Episode) -> bytes:
    """Returns the record of an episode whose leaves have the dtypes of their specs."""
    about = {
        "length": len(episode),
        "flags": flags_of(episode),
        "has_reward": episode.reward is not None,
        "info": None if episode.info is None else dict(episode.info),
    }
    shard = Shard(episode.observation, episode.action, episode.reward, np.empty(0), np.empty(0))
    leaves = [np.ascontiguousarray(leaf).tobytes() for leaf in arrays_of(shard).values()]
    return encode_record(json.dumps(about, allow_nan=False).encode("ascii"), b"".join(leaves))


def encode_start(manifest: Manifest) -> bytes:
    """Returns the record that stands before the first episode."""
    return encode_record(encode_manifest(manifest._replace(shards=())), b"")


def read_journal(path: Path, manifest: Manifest | None) -> Journal:
    """Returns what a journal holds; each episode is verified.

    Args:
      path: of the file, which may be absent.
      manifest: what tells the episodes' specs; None takes what the journal itself says.

    Raises:
      StorageError: it cannot be read.
    """
    if not path.exists():
        return Journal([], 0)
    with opened(path) as file:
        size = file.seek(0, 2)
        contents = np.memmap(file, np.uint8, "r") if size else np.zeros(0, np.uint8)
    episodes: list[Episode] = []
    position = 0
    own: Manifest | None = None

    def ended(problem: str, torn: bool = False) -> Journal:
        return Journal(episodes, position if episodes else 0, problem, torn, own)

    while position < size:
        record = read_record(contents, position)
        if isinstance(record, str):
            return ended(record, "unfinished" in record)
        try:
            if position == 0 and (own := _started(record.text, path)) is not None:
                if manifest is not None and own[:2] != manifest[:2]:
                    return ended("episodes of other specs than the manifest's")
            elif (known := manifest or own) is None:
                return ended("episodes whose specs nobody knows")
            else:
                episodes.append(_decode(record.contents, parse_json(record.text), known))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            # the digest matches, so the record was written by other code
            return ended(f"an episode that cannot be read: {str(error)[:80]}")
        position = record.end
    return Journal(episodes, position if episodes else 0, manifest=own)


def _started(text: bytes, path: Path) -> Manifest | None:
    """Returns the manifest in the first record; None if that is an episode."""
    return decode_manifest(text, path) if f'"kind": "{KIND}"'.encode() in text[:200] else None


def _decode(leaves: np.ndarray, about: Mapping[str, Any], manifest: Manifest) -> Episode:
    length, flags, has_reward, info = (about[name] for name in ("length", "flags", "has_reward", "info"))
    if not all(type(value) is int for value in (length, flags)) or length < 1 or not 0 <= flags <= 7:
        raise ValueError(f"{str(length)[:20]} steps, flags {str(flags)[:20]}")
    if type(has_reward) is not bool or not isinstance(info, dict | None):
        raise ValueError("has_reward or info of another type")
    entry = ShardEntry(0, 0, "", (length,), bytes([flags]))
    arrays: dict[str, np.ndarray] = {}
    position = 0
    for name, (shape, dtype) in expected_arrays(manifest._replace(has_rewards=has_reward), entry).items():
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if position + size > len(leaves):
            raise ValueError(f"{len(leaves):,} bytes in place of {position + size:,}")
        arrays[name] = np.frombuffer(leaves[position : position + size], dtype).reshape(shape)
        position += size
    observation, action, reward = nests_of(manifest, arrays)
    return Episode(observation, action, reward, bool(flags & TERMINATED), bool(flags & TRUNCATED), info=info)
