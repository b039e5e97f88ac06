"""Trees saved and restored, and the checkpoints of a run."""

from __future__ import annotations

import json
import os
import tracemalloc
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdaw.errors import ConfigError, StorageError
from jaxdaw.storage import seal, unseal
from jaxdaw.training import Checkpointer
from jaxdaw.training._checkpoint import load_tree, save_tree


class Pair(NamedTuple):
    left: Any
    right: Any


def everything() -> dict[str, Any]:
    params = {"dense": {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.zeros(3, jnp.bfloat16)}}
    optimizer = optax.chain(optax.clip(1.0), optax.adam(optax.linear_schedule(1e-3, 0.0, 10)))
    return {
        "params": params,
        "opt_state": optimizer.init(params),
        "keys": Pair(jax.random.key(3), jax.random.split(jax.random.key(4, impl="rbg"), 2)),
        "nothing": [(), {}, None],
        "counters": (np.int64(2**62), np.float64(1 / 3), 7, True, 0.1),
        "ring": np.asfortranarray(np.arange(12, dtype=np.float64).reshape(3, 4)),
        "big endian": np.arange(3, dtype=">u2"),
        "empty": np.zeros((0, 5), np.uint8),
        "unicode é/🤖": np.bool_([True, False]),
    }


def bits(leaf: Any) -> bytes:
    is_key = jnp.issubdtype(getattr(leaf, "dtype", np.dtype(bool)), jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf).tobytes()


def assert_same(got: Any, expected: Any) -> None:
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert np.shape(ours) == np.shape(theirs)
        assert bits(ours) == bits(theirs)
        if hasattr(theirs, "dtype"):
            assert ours.dtype == theirs.dtype
            assert isinstance(ours, jax.Array) == isinstance(theirs, jax.Array)
        else:
            assert type(ours) is type(theirs)


def test_tree_of_every_kind_of_leaf_comes_back_bit_for_bit(tmp_path: Path):
    tree = everything()
    save_tree(tmp_path / "a", tree, {"note": "é", "best": None, "returns": [1.5, -0.0]})
    got, metadata = load_tree(tmp_path / "a", tree)
    native = {**tree, "big endian": tree["big endian"].astype("u2")}
    assert_same(got, native)
    assert metadata == {"note": "é", "best": None, "returns": [1.5, -0.0]}


def test_tree_comes_back_for_structs_as_numpy_and_keys(tmp_path: Path):
    tree = {"w": jnp.ones((2, 3)), "key": jax.random.key(1)}
    save_tree(tmp_path / "a", tree, {})
    got, _ = load_tree(tmp_path / "a", jax.eval_shape(lambda: tree))
    assert type(got["w"]) is np.ndarray
    assert jax.random.bits(got["key"]) == jax.random.bits(tree["key"])


def test_tree_without_leaves_can_be_saved(tmp_path: Path):
    save_tree(tmp_path / "a", (), {"a": 1})
    assert load_tree(tmp_path / "a", ()) == ((), {"a": 1})


def test_loaded_arrays_can_be_written_to_and_donated(tmp_path: Path):
    tree = {"ring": np.zeros(3), "w": jnp.ones(4)}
    save_tree(tmp_path / "a", tree, {})
    got, _ = load_tree(tmp_path / "a", tree)
    got["ring"][0] = 1.0
    assert jax.jit(lambda x: x + 1, donate_argnums=0)(got["w"]).tolist() == [2.0] * 4


def test_load_tree_shows_the_difference_by_path(tmp_path: Path):
    save_tree(tmp_path / "a", {"q": {"kernel": jnp.zeros((4, 2)), "old": jnp.zeros(1)}, "key": jax.random.key(0)}, {})
    like = {"q": {"kernel": jnp.zeros((4, 3)), "new": np.zeros(1)}, "key": jax.random.key(0, impl="rbg")}
    with pytest.raises(StorageError) as caught:
        load_tree(tmp_path / "a", like)
    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'a'} does not fit what is to be restored: 4 of 4 leaves differ (- missing, + not expected)",
        "    - ['q']['new']: float64 (1,)",
        "    + ['q']['old']: float32 (1,)",
        "      ['key']: saved key<threefry2x32> (), expected key<rbg> ()",
        "      ['q']['kernel']: saved float32 (4, 2), expected float32 (4, 3)",
        "  Likely cause: another network, environment or algorithm.",
        "  Fix: resume with the options in the run's config.json",
    ]


@pytest.mark.parametrize("leaf", ["text", np.array([None]), 1 + 2j], ids=["text", "object", "complex"])
def test_save_tree_refuses_what_is_no_array_of_numbers_and_writes_nothing(leaf: Any, tmp_path: Path):
    with pytest.raises(StorageError, match=r"the leaf \['x'\] cannot be stored"):
        save_tree(tmp_path / "a", {"x": leaf}, {})
    with pytest.raises(StorageError, match="metadata cannot be written as JSON"):
        save_tree(tmp_path / "a", {"x": 1.0}, {"best": float("nan")})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("make", [np.zeros, jnp.zeros], ids=["numpy", "jax"])
def test_large_arrays_are_not_copied_to_be_saved_and_once_to_be_loaded(make: Any, tmp_path: Path):
    tree = {"ring": make((8, 2**20), np.float32)}  # 32 MiB
    tracemalloc.start()
    try:
        save_tree(tmp_path / "a", tree, {})
        saving = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        load_tree(tmp_path / "a", jax.eval_shape(lambda: tree))
        loading = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert saving < 2**22
    assert 2**25 <= loading < 2**25 + 2**22


def test_manifest_is_json_for_people(tmp_path: Path):
    save_tree(tmp_path / "a", {"w": jnp.zeros((2, 3))}, {"step": 5})
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert (manifest["format"], manifest["leaves"], manifest["metadata"]) == (
        1,
        {"['w']": "float32 (2, 3)"},
        {"step": 5},
    )


# The checkpoints of a run.


def checkpoints(directory: Path, steps: range | list[int], keep: int = 10) -> Checkpointer:
    checkpointer = Checkpointer(directory, keep)
    for step in steps:
        checkpointer.save(step, {"x": np.full(3, step)}, {"step": step})
    return checkpointer


LIKE = {"x": np.zeros(3, np.int64)}


def damage(directory: Path) -> None:
    path = directory / "arrays.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def test_checkpointer_keeps_the_newest_and_restores_the_last(tmp_path: Path):
    checkpointer = checkpoints(tmp_path, [7, 50_000, 999_999_999, 1_000_000_000], keep=2)  # the last has a digit more
    assert sorted(os.listdir(tmp_path)) == ["step_1000000000", "step_999999999"]
    assert checkpointer.latest() == tmp_path / "step_1000000000"
    step, tree, _ = checkpointer.restore(LIKE)
    assert (step, tree["x"].tolist()) == (10**9, [10**9] * 3)


def test_checkpoint_directory_is_named_by_its_step(tmp_path: Path):
    assert Checkpointer(tmp_path).save(50_000, LIKE, {}) == tmp_path / "step_000050000"


def test_checkpointer_restores_a_chosen_step(tmp_path: Path):
    step, tree, metadata = checkpoints(tmp_path, range(3)).restore(LIKE, step=1)
    assert (step, tree["x"].tolist(), metadata) == (1, [1, 1, 1], {"step": 1})


def test_checkpointer_replaces_the_checkpoint_of_the_same_step(tmp_path: Path):
    checkpointer = checkpoints(tmp_path, [5])
    checkpointer.save(5, {"x": np.full(3, 6)}, {})
    assert checkpointer.restore(LIKE)[1]["x"].tolist() == [6, 6, 6]
    assert os.listdir(tmp_path) == ["step_000000005"]


def test_checkpointer_finds_a_checkpoint_that_a_kill_left_aside(tmp_path: Path):
    checkpointer = checkpoints(tmp_path, [5])
    (tmp_path / "step_000000005").rename(tmp_path / ".step_000000005.previous")
    assert checkpointer.restore(LIKE)[0] == 5


def test_saving_an_earlier_step_ends_the_history_that_was_left(tmp_path: Path):
    checkpointer = checkpoints(tmp_path, [10, 20, 30])
    checkpointer.save(15, {"x": np.full(3, 15)}, {})
    assert sorted(os.listdir(tmp_path)) == ["step_000000010", "step_000000015"]
    assert checkpoints(tmp_path / "one", [10, 20], keep=1).save(15, LIKE, {}) == Checkpointer(tmp_path / "one").latest()


def test_restore_goes_back_with_a_warning_if_the_newest_is_damaged(tmp_path: Path):
    checkpointer = checkpoints(tmp_path, [1, 2, 3])
    damage(tmp_path / "step_000000003")
    (tmp_path / "step_000000002" / "manifest.json").unlink()
    with pytest.warns(UserWarning, match="going back to the checkpoint") as caught:
        step, tree, _ = checkpointer.restore(LIKE)
    assert (step, tree["x"].tolist()) == (1, [1, 1, 1])
    first, second = (str(warning.message) for warning in caught)
    assert first.startswith("going back to the checkpoint of step 2: ")
    assert "step_000000003/arrays.safetensors is missing or damaged" in first
    assert second.startswith("going back to the checkpoint of step 1: ")


def test_restore_refuses_to_go_back_when_strict_or_asked_for_a_step_or_at_the_end(tmp_path: Path):
    checkpointer = checkpoints(tmp_path, [1, 2])
    damage(tmp_path / "step_000000002")
    for arguments in ({"strict": True}, {"step": 2}):
        with pytest.raises(StorageError, match=r"step_000000002/arrays\.safetensors is missing or damaged"):
            checkpointer.restore(LIKE, **arguments)
    damage(tmp_path / "step_000000001")
    with pytest.warns(UserWarning, match="going back"), pytest.raises(StorageError, match="step_000000001/arrays"):
        checkpointer.restore(LIKE)


def test_restore_never_goes_back_because_of_another_structure_or_a_newer_format(tmp_path: Path):
    checkpointer = checkpoints(tmp_path, [1])
    checkpointer.save(2, {"y": np.zeros(3)}, {})
    with pytest.raises(StorageError, match=r"2 of 2 leaves differ"):
        checkpointer.restore(LIKE)
    path = tmp_path / "step_000000002" / "manifest.json"
    document = unseal(path.read_bytes())
    assert document is not None
    path.write_bytes(seal({**document, "format": 2}))
    with pytest.raises(StorageError, match="was written by format 2, this is 1"):
        checkpointer.restore(LIKE)


def test_restore_without_checkpoints_says_what_there_is(tmp_path: Path):
    with pytest.raises(StorageError, match=r"holds no checkpoint\n  got  nothing"):
        Checkpointer(tmp_path / "absent").restore(LIKE)
    with pytest.raises(StorageError, match=r"holds no checkpoint of step 7\n  got  steps 1, 2\n  Fix: step=2"):
        checkpoints(tmp_path, [1, 2]).restore(LIKE, step=7)
    assert Checkpointer(tmp_path / "absent").latest() is None


def test_checkpointer_leaves_other_things_in_its_directory_alone(tmp_path: Path):
    for name in ("step_x", "notes", ".git"):
        (tmp_path / name).mkdir()
    (tmp_path / "step_7").touch()
    checkpoints(tmp_path, range(3), keep=1)
    assert sorted(os.listdir(tmp_path)) == [".git", "notes", "step_000000002", "step_7", "step_x"]


@pytest.mark.parametrize("keep", [0, -1])
def test_checkpointer_must_keep_something(keep: int, tmp_path: Path):
    with pytest.raises(ConfigError, match="keep is outside its range"):
        Checkpointer(tmp_path, keep)


def test_failed_save_leaves_earlier_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checkpointer = checkpoints(tmp_path, [1], keep=1)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"No space left on device.*\n  expected  [\d,]+ bytes free"):
            checkpointer.save(2, LIKE, {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert checkpointer.restore(LIKE)[0] == 1


@pytest.mark.parametrize(
    "change", [{"leaves": None}, {"leaves": []}, {"leaves": {"x": 7}}, {"metadata": "x"}, {"sha256": {"x": 1}}]
)
def test_a_resealed_manifest_of_wrong_contents_is_refused(change: dict[str, Any], tmp_path: Path):
    tree = {"x": np.arange(3)}
    save_tree(tmp_path / "a", tree, {"step": 1})
    path = tmp_path / "a" / "manifest.json"
    document = unseal(path.read_bytes())
    assert document is not None
    path.write_bytes(seal(document | change))
    with pytest.raises(StorageError, match=r"a\b"):
        load_tree(tmp_path / "a", tree)
    for name in change:
        path.write_bytes(seal({key: value for key, value in document.items() if key != name}))
        with pytest.raises(StorageError, match=r"a\b"):
            load_tree(tmp_path / "a", tree)
