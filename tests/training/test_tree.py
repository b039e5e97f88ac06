"""Leaves by path, what they are in words, and how two trees differ."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdaw.errors import StorageError
from jaxdaw.training._tree import describe, named_leaves, plain, restored, structure_refusal, table


def test_named_leaves_read_like_python_and_skip_empty_nodes():
    tree = {"o": optax.adam(1e-3).init({"w": jnp.zeros(2)}), "a/b": [1], "a": {"b": 2}, "é": None}
    assert list(named_leaves(tree)) == [
        "['a']['b']",
        "['a/b'][0]",
        "['o'][0].count",
        "['o'][0].mu['w']",
        "['o'][0].nu['w']",
    ]


def test_named_leaves_names_a_bare_leaf():
    assert list(named_leaves(np.zeros(3))) == ["leaf"]


def test_named_leaves_refuses_two_leaves_of_one_name():
    class Pair:
        def __init__(self, left: object, right: object):
            self.children = (left, right)

    same = jax.tree_util.GetAttrKey("twin")
    jax.tree_util.register_pytree_with_keys(
        Pair, lambda pair: ([(same, child) for child in pair.children], None), lambda _, children: Pair(*children)
    )
    with pytest.raises(StorageError, match=r"two leaves of the tree are called \['x'\].twin"):
        named_leaves({"x": Pair(1, 2)})


@pytest.mark.parametrize(
    ("leaf", "text"),
    [
        (np.zeros((2, 3), ">i8"), "int64 (2, 3)"),
        (jnp.zeros((), jnp.bfloat16), "bfloat16 ()"),
        (np.float64(1.5), "float64 ()"),
        (True, "bool ()"),
        (3, "int64 ()"),
        (jax.ShapeDtypeStruct((4,), jnp.float32), "float32 (4,)"),
        (jax.random.split(jax.random.key(0), 5), "key<threefry2x32> (5,)"),
        (jax.eval_shape(lambda: jax.random.key(0, impl="rbg")), "key<rbg> ()"),
    ],
    ids=str,
)
def test_describe_tells_dtype_and_shape(leaf: object, text: str):
    assert describe(leaf) == text


def test_plain_of_a_key_is_its_numbers_and_of_its_struct_their_struct():
    key = jax.random.split(jax.random.key(7), 3)
    assert np.array_equal(plain(key), jax.random.key_data(key))
    struct = plain(jax.eval_shape(lambda: key))
    assert (struct.shape, struct.dtype) == ((3, 2), np.uint32)


def test_restored_is_the_kind_of_leaf_that_was_asked_for():
    three = np.asarray(3, np.int64)
    assert isinstance(restored(np.ones(2, np.float32), jnp.zeros(2)), jax.Array)
    assert type(restored(np.ones(2, np.float32), np.zeros(2))) is np.ndarray
    assert type(restored(three, 5)) is int
    assert restored(three, np.int64(5)).dtype == np.int64
    key = jax.random.key(1, impl="rbg")
    assert jnp.array_equal(restored(np.asarray(jax.random.key_data(key)), key), key)


def test_structure_refusal_is_none_for_equal_trees():
    assert structure_refusal("x", table({"a": 1}), table({"a": 2}), "nothing") is None


def test_structure_refusal_shows_missing_unexpected_and_differing_leaves():
    saved = {"['w']": "float32 (3,)", "['old']": "int32 ()", "['same']": "bool ()"}
    like = {"['w']": "float32 (4,)", "['new']": "int32 ()", "['same']": "bool ()"}
    assert str(structure_refusal("run/ckpt does not fit", saved, like, "the old options")) == (
        "run/ckpt does not fit: 3 of 4 leaves differ (- missing, + not expected)\n"
        "    - ['new']: int32 ()\n"
        "    + ['old']: int32 ()\n"
        "      ['w']: saved float32 (3,), expected float32 (4,)\n"
        "  Likely cause: another network, environment or algorithm.\n"
        "  Fix: the old options"
    )


@pytest.mark.parametrize("count", [8, 9, 10, 500])
def test_structure_refusal_has_at_most_twelve_lines(count: int):
    lines = str(structure_refusal("x", {}, {f"['{i}']": "int32 ()" for i in range(count)}, "y")).splitlines()
    assert len(lines) == 3 + min(count, 9)
    assert ("and 492 more" in lines[9]) == (count == 500)
