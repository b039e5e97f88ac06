"""Manifests with the right digest and the wrong contents: refused by everything that opens a directory."""

from __future__ import annotations

import contextlib
import copy
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.recordings import ACTION_SPEC, OBSERVATION_SPEC, episodes
from jaxdaw.data import DemonstrationWriter, read, read_demonstrations, repair, verify
from jaxdaw.errors import JaxdawError, StorageError
from jaxdaw.storage import seal, unseal

HUGE = int("9" * 400)


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "d"
    with DemonstrationWriter(path, OBSERVATION_SPEC, ACTION_SPEC, shard_bytes=2_000) as writer:
        writer.extend(episodes())
    return path


def places_of(value: Any, path: tuple = ()) -> list[tuple]:
    """Returns the path of every value in JSON."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in places_of(child, (*path, key)))]


def changed(contents: Any, place: tuple, value: Any) -> Any:
    """Returns JSON with another value at a place, or without it."""
    if not place:
        return value
    found = copy.deepcopy(contents)
    inner = found
    for key in place[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return found


WRONG = st.sampled_from(
    [..., None, True, -1, 0, 7, 2**63, HUGE, 0.5, "", "x", "9", [], [[]], [HUGE], {}, {"spec": {}}, {"list": []}]
)


@given(st.data())
def test_resealed_manifests_are_refused_or_read(directory: Path, drawn):
    contents = unseal((directory / "manifest.json").read_bytes())
    place = drawn.draw(st.sampled_from(places_of(contents)))
    value = drawn.draw(WRONG)
    contents = changed(contents, place, value)
    if not isinstance(contents, dict):
        contents = {}
    with tempfile.TemporaryDirectory() as temporary:
        copied = Path(temporary) / "d"
        shutil.copytree(directory, copied)
        (copied / "manifest.json").write_bytes(seal(contents))
        for use in (
            read,
            verify,
            read_demonstrations,
            lambda path: DemonstrationWriter(path, OBSERVATION_SPEC, ACTION_SPEC).close(),
            repair,
        ):
            with contextlib.suppress(JaxdawError):
                use(copied)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("shards",), None),
        (("shards", 0), "x"),
        (("shards", 0, "sha256"), ...),
        (("shards", 0, "lengths"), [HUGE]),
        (("shards", 0, "flags"), "9"),
        (("shards", 0, "number"), -1),
        (("shards", 0, "number"), "../../x"),
        (("observation_spec",), {"dict": []}),
        (("observation_spec",), {"spec": {"shape": [10**9] * 9, "dtype": "float32", "name": None}}),
        (("action_spec",), None),
        (("has_rewards",), "yes"),
        (("metadata",), 7),
        (("format",), HUGE),
        (("kind",), "decisions"),
    ],
)
def test_a_manifest_of_wrong_contents_is_named(tmp_path: Path, directory: Path, place: tuple, value: Any):
    shutil.copytree(directory, tmp_path / "d")
    path = tmp_path / "d" / "manifest.json"
    path.write_bytes(seal(changed(unseal(path.read_bytes()), place, value)))
    with pytest.raises(StorageError, match=r"manifest\.json|shard-\d{6}\.npz"):
        read(tmp_path / "d")
