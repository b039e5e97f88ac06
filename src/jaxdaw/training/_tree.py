"""Trees of arrays as flat tables: every leaf by its path, what it is in words, and how two trees differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.errors import StorageError

_MAX_SHOWN = 8
"""Differing leaves in a message, so that headline, count, cause and fix fit into twelve lines."""


def named_leaves(tree: Any) -> dict[str, Any]:
    """Returns the leaves of a pytree by their paths, which read like the Python that leads to them.

    Empty nodes, such as optax's `EmptyState`, have no leaves. A bare leaf is called `leaf`.

    Raises:
      StorageError: two leaves have the same path, which only a pytree class of the caller's own can bring about.

    >>> list(named_leaves({"a/b": (1, [2.0]), "c": ()}))
    ["['a/b'][0]", "['a/b'][1][0]"]
    """
    named: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = jax.tree_util.keystr(path) or "leaf"
        if name in named:
            raise StorageError(
                f"two leaves of the tree are called {name}",
                expected="one path for each leaf",
                cause="the keys of a pytree class of your own that look alike.",
                fix="jax.tree_util.register_pytree_with_keys, with a key of its own for each child",
            )
        named[name] = leaf
    return named


def is_key(leaf: Any) -> bool:
    """Returns whether a leaf, or the `jax.ShapeDtypeStruct` of one, is a typed PRNG key."""
    return jnp.issubdtype(getattr(leaf, "dtype", np.dtype(bool)), jax.dtypes.prng_key)


def plain(leaf: Any) -> Any:
    """Returns what is stored of a leaf: the numbers behind a key, an array for a Python number, else itself."""
    if is_key(leaf):
        struct = isinstance(leaf, jax.ShapeDtypeStruct)
        return jax.eval_shape(jax.random.key_data, leaf) if struct else jax.random.key_data(leaf)
    return leaf if hasattr(leaf, "dtype") and hasattr(leaf, "shape") else np.asarray(leaf)


def describe(leaf: Any) -> str:
    """Returns dtype and shape in words.

    >>> describe(np.zeros((2, 3), "int64")), describe(jax.random.key(0))
    ('int64 (2, 3)', 'key<threefry2x32> ()')
    """
    if is_key(leaf):
        return f"key<{_implementation(leaf)}> {tuple(leaf.shape)}"
    array = plain(leaf)
    return f"{array.dtype.name} {tuple(array.shape)}"


def table(leaves: Mapping[str, Any]) -> dict[str, str]:
    """Returns every leaf's dtype and shape in words, by path."""
    return {name: describe(leaf) for name, leaf in leaves.items()}


def restored(array: np.ndarray, like: Any) -> Any:
    """Returns a stored array as the kind of leaf that `like` is: a key, a JAX array, a Python number, else NumPy."""
    if is_key(like):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=_implementation(like))
    if isinstance(like, jax.Array):
        return jnp.asarray(array)
    return type(like)(array.item()) if isinstance(like, bool | int | float) and not hasattr(like, "dtype") else array


def structure_refusal(
    headline: str, saved: Mapping[str, str], like: Mapping[str, str], fix: str
) -> StorageError | None:
    """Returns the error for two tables `{path: describe(leaf)}` that differ, with the difference; None if they agree.

    Args:
      headline: what was loaded, as the subject of a sentence.
      saved: what the file holds.
      like: what was asked for.
      fix: how to make them agree.
    """
    lines = [f"- {name}: {text}" for name, text in like.items() if name not in saved]
    lines += [f"+ {name}: {text}" for name, text in saved.items() if name not in like]
    lines += [
        f"  {name}: saved {saved[name]}, expected {text}"
        for name, text in like.items()
        if name in saved and saved[name] != text
    ]
    if not lines:
        return None
    shown = lines if len(lines) <= _MAX_SHOWN + 1 else [*lines[:_MAX_SHOWN], f"and {len(lines) - _MAX_SHOWN} more"]
    of = len(saved.keys() | like.keys())
    difference = "\n    ".join([f"{len(lines)} of {of} leaves differ (- missing, + not expected)", *shown])
    return StorageError(f"{headline}: {difference}", cause="another network, environment or algorithm.", fix=fix)


def _implementation(key: Any) -> str:
    """Returns the name of a key's generator; `key` may be a `jax.ShapeDtypeStruct`, which only a trace can ask."""
    names: list[str] = []
    jax.eval_shape(lambda k: names.append(str(jax.random.key_impl(k))), key)
    return names[0]
