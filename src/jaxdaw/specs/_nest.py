"""Nests: any combination of list, tuple, namedtuple and Mapping; everything else is a leaf, `()` is the empty nest.

A nest is taken apart into its leaves and its *skeleton*: one entry for each node in pre-order, None for a leaf and
`(kind, keys)` for a container. Two nests have the same structure when their skeletons are equal, the path of a node
follows from the entries before it, and reading the skeleton backwards builds the nest again. So nothing here recurses:
depth is bounded by memory only, and every function takes time linear in the number of nodes.

All Mappings are one kind, visited in the order of their sorted keys; all lists are one kind; every tuple class is its
own.

`jax.tree_util` cannot take this place: to it an OrderedDict differs from a dict and a MappingProxyType is a leaf, a
mapped dict comes back with its keys sorted, a registered class such as a distribution is a container, and a nest that
holds itself or is 2,000 levels deep ends in a SystemError.
"""

from __future__ import annotations

import difflib
import functools
import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jaxdaw.errors import SpecError, SpecTypeError

Entry = tuple[type, Sequence[Any]] | None

_MAX_NAMED_KEYS = 6  # keys of a mapping that a message lists
_MIN_LIKENESS = 0.5  # similarity from which a key counts as a misspelling; "vel" for "velocity" has 0.55


class Anatomy(NamedTuple):
    """A nest taken apart; `containers` holds the original container of each entry of the skeleton that is not None."""

    leaves: list[Any]
    skeleton: list[Entry]
    containers: list[Any]


def dissect(nest: Any) -> Anatomy:
    """Returns the parts of a nest.

    Raises:
      SpecError: a leaf is None, a container holds itself, or the keys of a mapping cannot be sorted.
    """
    leaves: list[Any] = []
    skeleton: list[Entry] = []
    containers: list[Any] = []
    open_containers: list[int] = []  # ids, outermost first; a cycle would reach one of them again
    open_ids: set[int] = set()
    stack = [nest]
    while stack:
        node = stack.pop()
        kind = _kind(type(node))
        if kind is None:
            if node is _CLOSE:
                open_ids.remove(open_containers.pop())
                continue
            if node is None:
                raise _broken(skeleton, "None is not a leaf", "`()` for nothing, or leave the key out")
            leaves.append(node)
            skeleton.append(None)
            continue
        if id(node) in open_ids:
            raise _broken(skeleton, "the container holds itself", "a nest without cycles")
        if kind is dict:
            keys = _sorted_keys(node, skeleton)
            children = [node[key] for key in keys]
        else:
            keys = range(len(node))
            children = node
        skeleton.append((kind, keys))
        containers.append(node)
        if children:
            open_containers.append(id(node))
            open_ids.add(id(node))
            stack.append(_CLOSE)
            stack.extend(reversed(children))
    return Anatomy(leaves, skeleton, containers)


def build(skeleton: list[Entry], containers: list[Any], leaves: Sequence[Any]) -> Any:
    """Returns the nest of `dissect` with other leaves, which are as many as the skeleton has."""
    stack: list[Any] = []
    remaining_leaves, remaining_containers = reversed(leaves), reversed(containers)
    for entry in reversed(skeleton):
        if entry is None:
            stack.append(next(remaining_leaves))
            continue
        keys = entry[1]
        first = len(stack) - len(keys)
        children = stack[first:]
        del stack[first:]
        children.reverse()
        stack.append(_rebuild(next(remaining_containers), keys, children))
    return stack.pop()


def paths(skeleton: Iterable[Entry]) -> Iterator[str]:
    """Yields the path of each node, in pre-order: `['camera'][0].mean`, and "" for the root."""
    pending = [""]
    for entry in skeleton:
        path = pending.pop()
        yield path
        if entry is not None:
            pending.extend([path + step for step in reversed(_steps(entry))])


def flatten(nest: Any) -> list[Any]:
    """Returns the leaves, mappings in the order of their sorted keys.

    >>> flatten({"b": 1, "a": (2, [3])})
    [2, 3, 1]
    """
    return dissect(nest).leaves


def flatten_with_path(nest: Any) -> list[tuple[str, Any]]:
    """Returns `(path, leaf)` pairs in the order of `flatten`; the path of a bare leaf is "".

    A path reads like the Python that leads to the leaf, with keys as literals, so no two leaves share one.

    >>> flatten_with_path({"b": 1, "a/b": (2, [3])})
    [("['a/b'][0]", 2), ("['a/b'][1][0]", 3), ("['b']", 1)]
    """
    leaves, skeleton, _ = dissect(nest)
    return list(zip(_leaf_paths(skeleton), leaves, strict=True))


def map_structure(fn: Callable[..., Any], nest: Any, *rest: Any) -> Any:
    """Returns the nest of `fn(leaf, *leaves of rest at the same place)`.

    Mappings other than OrderedDict become dict; the order of keys is kept.

    Raises:
      SpecError: a nest of `rest` has another structure than the first.

    >>> map_structure(lambda x, y: x + y, {"a": 1, "b": (2,)}, {"b": (10,), "a": 20})
    {'a': 21, 'b': (12,)}
    """
    leaves, skeleton, containers = dissect(nest)
    columns = [leaves]
    for other in rest:
        other_leaves, other_skeleton, _ = dissect(other)
        if other_skeleton != skeleton:
            assert_same_structure(nest, other, what="an argument of map_structure")
        columns.append(other_leaves)
    return build(skeleton, containers, [fn(*row) for row in zip(*columns, strict=True)])


def map_with_path(fn: Callable[[str, Any], Any], nest: Any) -> Any:
    """Returns the nest of `fn(path, leaf)`.

    >>> map_with_path(lambda path, leaf: f"{path}={leaf}", [1, {"a": 2}])
    ['[0]=1', {'a': "[1]['a']=2"}]
    """
    leaves, skeleton, containers = dissect(nest)
    return build(
        skeleton, containers, [fn(path, leaf) for path, leaf in zip(_leaf_paths(skeleton), leaves, strict=True)]
    )


def pack_like(nest: Any, leaves: Iterable[Any]) -> Any:
    """Returns a nest with the structure of `nest` and these leaves, given in the order of `flatten`.

    Raises:
      SpecError: another number of leaves than `nest` has.

    >>> pack_like({"b": 0, "a": (0, 0)}, [1, 2, 3])
    {'b': 3, 'a': (1, 2)}
    """
    own, skeleton, containers = dissect(nest)
    given = list(leaves)
    if len(given) != len(own):
        raise SpecError("the leaves do not fill the nest", expected=f"{len(own)} leaves", got=str(len(given)))
    return build(skeleton, containers, given)


def prune_extra_keys(narrow: Any, wide: Any) -> Any:
    """Returns `wide` without the mapping keys that `narrow` lacks, at every depth.

    An empty container in `narrow` stands for "nothing" and prunes to itself. Where the containers do not fit (a missing
    key, another kind or length) `wide` is left as it is, so that a later check names the place.

    >>> prune_extra_keys({"a": 0}, {"a": 1, "b": 2})
    {'a': 1}
    """
    dissect(narrow)  # refuses cycles, on which the walk below would not end
    leaves: list[Any] = []
    skeleton: list[Entry] = []
    containers: list[Any] = []
    stack = [(narrow, wide)]
    while stack:
        ours, theirs = stack.pop()
        kind = _kind(type(ours))
        if kind is None or not ours or not _fits(ours, theirs, kind):
            leaves.append(theirs if kind is None or ours else ours)
            skeleton.append(None)
            continue
        keys = sorted(ours) if kind is dict else range(len(ours))
        skeleton.append((kind, keys))
        containers.append(theirs)
        stack.extend([(ours[key], theirs[key]) for key in reversed(keys)])
    return build(skeleton, containers, leaves)


def assert_same_structure(expected: Any, got: Any, check_types: bool = True, what: str = "value") -> None:
    """Raises unless both nests have the same containers with the same keys.

    Args:
      expected: the nest to compare with, often of specs.
      got: the nest to judge.
      check_types: False compares only where the leaves are: a list may stand for a tuple, and keys may differ.
      what: names `got` in the message, such as "observation from MyEnv.step()".

    Raises:
      SpecTypeError: a container is of another kind (dict for namedtuple, list for tuple).
      SpecError: a leaf stands where a container should be or the reverse; keys or lengths differ.
    """
    ours, theirs = dissect(expected), dissect(got)
    if ours.skeleton != theirs.skeleton:
        for index, (entry, other) in enumerate(zip(ours.skeleton, theirs.skeleton, strict=False)):
            if entry != other and (check_types or _arity(entry) != _arity(other)):
                raise _difference(ours, theirs, index, check_types, what)


class _Close:
    """Marks on the stack of `dissect` that all children of a container were seen."""


_CLOSE = _Close()


@functools.lru_cache(maxsize=4096)
def _kind(cls: type) -> type | None:
    """Returns what a class counts as: dict, list, its own tuple class, or None for a leaf."""
    if issubclass(cls, Mapping):
        return dict
    if issubclass(cls, list):
        return list
    return cls if issubclass(cls, tuple) else None


def _sorted_keys(mapping: Mapping[Any, Any], skeleton: list[Entry]) -> list[Any]:
    try:
        return sorted(mapping)
    except TypeError:
        raise _broken(skeleton, "the keys of a mapping have no order", "keys of one type, such as str") from None


def _rebuild(container: Any, keys: Sequence[Any], children: list[Any]) -> Any:
    if isinstance(container, Mapping):
        by_key = dict(zip(keys, children, strict=True))
        items = {key: by_key[key] for key in container if key in by_key}
        return OrderedDict(items) if isinstance(container, OrderedDict) else items
    if isinstance(container, list):
        return children
    make = getattr(type(container), "_make", type(container))
    return make(children)


def _fits(narrow: Any, wide: Any, kind: type) -> bool:
    if _kind(type(wide)) is not kind:
        return False
    return narrow.keys() <= wide.keys() if kind is dict else len(narrow) == len(wide)


def _steps(entry: tuple[type, Sequence[Any]]) -> list[str]:
    kind, keys = entry
    fields = getattr(kind, "_fields", None)
    return [f"[{key!r}]" for key in keys] if fields is None else [f".{field}" for field in fields]


def _leaf_paths(skeleton: list[Entry]) -> list[str]:
    return [path for path, entry in zip(paths(skeleton), skeleton, strict=True) if entry is None]


def _path_at(skeleton: list[Entry], index: int) -> str:
    return next(itertools.islice(paths([*skeleton[:index], None]), index, None))


def _arity(entry: Entry) -> int | None:
    return None if entry is None else len(entry[1])


def _node_at(anatomy: Anatomy, index: int) -> Any:
    before = anatomy.skeleton[:index].count(None)
    return anatomy.leaves[before] if anatomy.skeleton[index] is None else anatomy.containers[index - before]


def _broken(skeleton: list[Entry], problem: str, remedy: str) -> SpecError:
    path = _path_at(skeleton, len(skeleton))
    return SpecError(f"not a nest: {problem}{location(path)}", expected=remedy)


def location(path: str) -> str:
    """Returns " at PATH", or nothing for the root."""
    return f" at {path}" if path else ""


def describe(node: Any) -> str:
    """Returns one line about a node: dtype and shape, or the kind and size of a container."""
    kind = _kind(type(node))
    if kind is dict:
        return f"mapping with {_name_keys(sorted(node))}" if node else "empty mapping"
    if kind is not None:
        return f"{type(node).__name__} of {len(node)}" if node else f"empty {type(node).__name__}"
    dtype, shape = getattr(node, "dtype", None), getattr(node, "shape", None)
    return f"a Python {type(node).__name__}" if dtype is None or shape is None else f"{dtype} {tuple(shape)}"


def _name_keys(keys: Sequence[Any], sign: str = "") -> str:
    named = ", ".join(f"{sign}{key!r}" for key in keys[:_MAX_NAMED_KEYS])
    return named if len(keys) <= _MAX_NAMED_KEYS else f"{named} and {len(keys) - _MAX_NAMED_KEYS} more"


def _difference(ours: Anatomy, theirs: Anatomy, index: int, check_types: bool, what: str) -> SpecError:
    entry, other = ours.skeleton[index], theirs.skeleton[index]
    node, value = _node_at(ours, index), _node_at(theirs, index)
    headline = f"{what} has another structure than expected{location(_path_at(ours.skeleton, index))}"
    other_kind = check_types and entry is not None and other is not None and entry[0] is not other[0]
    if entry is not None and other is not None and entry[0] is other[0] is dict:
        missing = [key for key in entry[1] if key not in value]
        extra = [key for key in other[1] if key not in node]
        expected = describe(node)
        got = "  ".join(_name_keys(keys, sign) for keys, sign in ((extra, "+ "), (missing, "- ")) if keys)
        cause, fix = _misspelling(missing, extra), None
    else:
        expected, got = describe(node), describe(value)
        cause, fix = _likely_cause(node, value, entry, other)
    error = SpecTypeError if other_kind else SpecError
    return error(headline, expected=expected, got=got, cause=cause, fix=fix)


def _misspelling(missing: Sequence[Any], extra: Sequence[Any]) -> str | None:
    for key in missing:
        close = difflib.get_close_matches(str(key), [str(name) for name in extra], n=1, cutoff=_MIN_LIKENESS)
        if close:
            return f"a misspelt key: did you mean {key!r} instead of {close[0]!r}?"
    return None


def _likely_cause(node: Any, value: Any, entry: Entry, other: Entry) -> tuple[str | None, str | None]:
    """Returns cause and fix of a container in place of a leaf, or of another kind of container."""
    is_pair = isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Mapping)
    if is_pair and (entry is None or entry[0] is not tuple):
        return "Gymnasium's reset() returns a pair (observation, info).", "observation, _ = env.reset()"
    if entry is None and other is not None and other[0] is list:
        return "a list is a nest of its elements, not an array.", "numpy.asarray(value, dtype)"
    if (
        entry is not None
        and other is not None
        and {entry[0], other[0]} == {list, tuple}
        and len(entry[1]) == len(other[1])
    ):
        return None, f"{entry[0].__name__}(value)"
    return None, None
