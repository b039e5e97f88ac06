"""The manifest of a directory of demonstrations: specs, metadata, and the digest of every shard.

```text
NAME/
  manifest.json              format, specs, metadata; of each shard its size, SHA-256, lengths and ends; with its digest
  shard-000000.npz           some thousand episodes, never changed
  shard-000001.journal       episodes that are in no shard yet, one record after the other
```

A shard has one array for each leaf: `observation_0`, `observation_1`, ... in the order of `specs.flatten`, `action_0`,
..., `reward`, and `info`, the episodes' dictionaries as JSON in bytes. `numpy.load` reads it. The episodes' flags are
bits: 1 terminated, 2 truncated, 4 the observation after the last action is there.

Shards and journal repeat the manifest, so that `repair` can rebuild it: each shard has, in the bytes of the array
`about`, a manifest with this shard alone. `low_0`, `high_0`, ... are the bounds of each number of an
observation within the shard, so that `check` need not read them all.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdaw import specs
from jaxdaw.data.demonstrations._shards import HAS_LAST, Shard
from jaxdaw.errors import StorageError
from jaxdaw.storage import JSON_LIMIT, opened, replace, seal, unseal

FORMAT = 1
NAME = "manifest.json"
KIND = "demonstrations"


class ShardEntry(NamedTuple):
    """What the manifest says about a shard: its number, bytes and SHA-256, and each episode's steps and flags."""

    number: int
    size: int
    sha256: str
    lengths: tuple[int, ...]
    flags: bytes

    @property
    def name(self) -> str:
        """The file's name, which no text from a file is part of."""
        return f"shard-{self.number:06d}.npz"


class Manifest(NamedTuple):
    """The contents of `manifest.json`."""

    observation_spec: Any
    action_spec: Any
    metadata: Mapping[str, Any]
    has_rewards: bool | None  # None: no shard yet
    shards: tuple[ShardEntry, ...] = ()

    @property
    def journal(self) -> str:
        """The name of the journal that becomes the next shard."""
        return f"shard-{self.next_number:06d}.journal"

    @property
    def next_number(self) -> int:
        """The number of the next shard."""
        return self.shards[-1].number + 1 if self.shards else 0


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Replaces the manifest of a directory atomically."""
    text = encode_manifest(manifest)
    replace(directory / NAME, lambda file: file.write(text))


def encode_manifest(manifest: Manifest) -> bytes:
    """Returns a manifest as JSON with its digest."""
    shards = [
        {
            "number": entry.number,
            "bytes": entry.size,
            "sha256": entry.sha256,
            "lengths": list(entry.lengths),
            "flags": "".join(map(str, entry.flags)),
        }
        for entry in manifest.shards
    ]
    contents = {
        "format": FORMAT,
        "kind": KIND,
        "observation_spec": specs.to_json(manifest.observation_spec),
        "action_spec": specs.to_json(manifest.action_spec),
        "metadata": dict(manifest.metadata),
        "has_rewards": manifest.has_rewards,
        "shards": shards,
    }
    return seal(contents)


def read_manifest(directory: Path) -> Manifest:
    """Returns the manifest of a directory.

    Raises:
      StorageError: it is absent, damaged, of a newer format, or of something else.
    """
    manifest = find_manifest(directory)
    if isinstance(manifest, Manifest):
        return manifest
    path = directory / NAME
    if numbered(directory, ".npz") or numbered(directory, ".journal"):
        raise StorageError(
            f"{path} is {'damaged or something else' if path.is_file() else 'missing'}",
            expected="the manifest of demonstrations",
            got=manifest,
            fix=f"jaxdaw.data.repair({str(directory)!r}) writes it anew, from what the shards say",
        )
    if not path.is_file():
        raise StorageError(f"{directory} holds no demonstrations", expected=f"a directory with {NAME}", got="none")
    raise StorageError(
        f"{path} is damaged or something else",
        expected="the manifest of demonstrations",
        got=manifest,
        fix="a copy of the directory: there are no shards that it could be written anew from",
    )


def find_manifest(directory: Path) -> Manifest | str:
    """Returns the manifest of a directory, or in words why it has none that can be read.

    Raises:
      StorageError: it is whole, and of a newer format.
    """
    path = directory / NAME
    if not path.is_file():
        return "none"
    try:
        with opened(path) as file:
            return decode_manifest(file.read(JSON_LIMIT + 1), path)
    except ValueError as error:
        if isinstance(error, StorageError) and "newer" in str(error):
            raise
        return str(error)[:160]


def decode_manifest(text: bytes, path: Path) -> Manifest:
    """Returns the manifest that `encode_manifest` made a text from.

    Raises:
      ValueError: it is damaged, or of something else; a StorageError if it is of a newer format.
    """
    try:
        if len(text) > JSON_LIMIT:
            raise ValueError(f"more than {JSON_LIMIT:,} bytes")
        contents = unseal(text)
        if contents is None:
            raise ValueError("contents that do not match their digest")
        if contents.get("kind") != KIND:
            raise ValueError(f"a manifest of {contents.get('kind', 'something else')}")
        if contents["format"] != FORMAT:
            raise StorageError(
                f"{path} was written by format {contents['format']}, this is {FORMAT}",
                cause="it comes from a newer jaxdaw.",
                fix="pip install -U jaxdaw",
            )
        return _parse(contents)
    except StorageError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {str(error)[:100]}") from error


def numbered(directory: Path, ending: str) -> dict[int, str]:
    """Returns the names of a directory's shards or journals by their numbers, which rise."""
    found = {}
    for path in sorted(directory.glob(f"shard-*{ending}")):
        digits = path.name[len("shard-") : -len(ending)]
        if digits.isascii() and digits.isdigit() and path.is_file() and not path.is_symlink():
            found[int(digits)] = path.name
    return found


def _parse(contents: Mapping[str, Any]) -> Manifest:
    shards = []
    observation_spec, action_spec = (specs.from_json(contents[name]) for name in ("observation_spec", "action_spec"))
    if not specs.flatten(observation_spec) or not specs.flatten(action_spec):
        raise ValueError("specs without a leaf")
    has_rewards = contents["has_rewards"]
    if has_rewards is not None and type(has_rewards) is not bool:
        raise ValueError(f"has_rewards of {str(has_rewards)[:20]!r}")
    for entry in contents["shards"]:
        flags = bytes(int(digit) for digit in entry["flags"])
        lengths = tuple(entry["lengths"])
        sound = all(type(number) is int and 0 <= number < 2**62 for number in (entry["number"], entry["bytes"]))
        if not sound or not lengths or any(type(length) is not int or not 1 <= length < 2**62 for length in lengths):
            raise ValueError("a shard without episodes, or of negative size")
        if len(flags) != len(lengths) or any(flag > 7 for flag in flags):
            raise ValueError("flags that do not fit the lengths")
        shards.append(ShardEntry(entry["number"], entry["bytes"], str(entry["sha256"]), lengths, flags))
    if any(one.number >= other.number for one, other in itertools.pairwise(shards)):
        raise ValueError("shards whose numbers do not rise")
    return Manifest(observation_spec, action_spec, dict(contents["metadata"]), has_rewards, tuple(shards))


def expected_arrays(manifest: Manifest, entry: ShardEntry) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Returns shape and dtype of each array of a shard, as they follow from the manifest."""
    steps = sum(entry.lengths)
    frames = steps + sum(bool(flags & HAS_LAST) for flags in entry.flags)
    arrays = {
        f"{name}_{index}": ((count, *leaf.shape), stored_dtype(leaf.dtype))
        for name, spec, count in (
            ("observation", manifest.observation_spec, frames),
            ("action", manifest.action_spec, steps),
        )
        for index, leaf in enumerate(specs.flatten(spec))
    }
    return arrays | ({"reward": ((steps,), np.dtype(np.float32))} if manifest.has_rewards else {})


def stored_dtype(dtype: np.dtype) -> np.dtype:
    """Returns the dtype that NumPy's format has for a leaf: bfloat16 is kept as the integers of its bits."""
    return np.dtype(np.uint16) if dtype.kind == "V" else dtype


def arrays_of(shard: Shard) -> dict[str, np.ndarray]:
    """Returns the leaves of a shard by the names of its file, without `info`."""
    arrays = {
        f"{name}_{index}": np.asarray(leaf).view(stored_dtype(np.asarray(leaf).dtype))
        for name, nest in (("observation", shard.observation), ("action", shard.action))
        for index, leaf in enumerate(specs.flatten(nest))
    }
    return arrays | ({} if shard.reward is None else {"reward": np.asarray(shard.reward, np.float32)})


def nests_of(manifest: Manifest, arrays: Mapping[str, np.ndarray]) -> tuple[Any, Any, np.ndarray | None]:
    """Returns observation, action and reward from the arrays of a file."""

    def nest(name: str, spec: Any) -> Any:
        leaves = specs.flatten(spec)
        return specs.pack_like(spec, [arrays[f"{name}_{index}"].view(leaf.dtype) for index, leaf in enumerate(leaves)])

    return (
        nest("observation", manifest.observation_spec),
        nest("action", manifest.action_spec),
        arrays.get("reward"),
    )
