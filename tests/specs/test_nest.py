"""Nests: order, paths, structure errors, and sizes and depths that break recursion."""

import ast
import collections
import time
import types

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdaw import specs
from jaxdaw.errors import SpecError, SpecTypeError
from jaxdaw.specs import TensorSpec

Pair = collections.namedtuple("Pair", "first second")
Couple = collections.namedtuple("Couple", "first second")
QUICK = settings(max_examples=80, deadline=None)
NESTS = st.recursive(
    st.integers(),
    lambda child: st.one_of(
        st.lists(child, max_size=3),
        st.lists(child, max_size=3).map(tuple),
        st.builds(Pair, child, child),
        st.dictionaries(st.text(max_size=2), child, max_size=3),
        st.dictionaries(st.text(max_size=2), child, max_size=3).map(
            lambda d: collections.OrderedDict(reversed(d.items()))
        ),
    ),
    max_leaves=12,
)


def follow(path, nest):
    """Reads a path as the Python that it is."""

    def value_of(node):
        match node:
            case ast.Subscript():
                return value_of(node.value)[ast.literal_eval(node.slice)]
            case ast.Attribute():
                return getattr(value_of(node.value), node.attr)
        return nest

    return value_of(ast.parse(f"nest{path}", mode="eval").body)


def deep(depth):
    nest = ()
    for _ in range(depth):
        nest = (nest, 1)
    return nest


@QUICK
@given(NESTS)
def test_flatten_agrees_with_jax(nest):
    def sort(node):  # JAX keeps the order of an OrderedDict; a nest here does not
        if isinstance(node, dict):
            return {key: sort(child) for key, child in node.items()}
        if isinstance(node, Pair):
            return Pair(*map(sort, node))
        return type(node)(map(sort, node)) if isinstance(node, list | tuple) else node

    assert specs.flatten(nest) == jax.tree.leaves(sort(nest))


@QUICK
@given(NESTS)
def test_pack_like_inverts_flatten_and_keeps_types_and_order(nest):
    packed = specs.pack_like(nest, specs.flatten(nest))
    assert packed == nest
    assert repr(packed) == repr(nest)  # order of keys and container types too


@QUICK
@given(NESTS)
def test_paths_are_unique_and_lead_to_the_leaf(nest):
    pairs = specs.flatten_with_path(nest)
    assert len({path for path, _ in pairs}) == len(pairs)
    for path, leaf in pairs:
        assert follow(path, nest) is leaf


@QUICK
@given(NESTS, NESTS)
def test_same_structure_is_symmetric_and_is_that_of_map_structure(one, other):
    def same(left, right):
        try:
            specs.assert_same_structure(left, right)
        except SpecError:
            return False
        return True

    assert same(one, one)
    assert same(one, other) == same(other, one)
    assert same(one, specs.map_structure(str, one))


@QUICK
@given(NESTS, NESTS)
def test_prune_extra_keys_is_idempotent_and_changes_nothing_that_fits(narrow, wide):
    assert specs.prune_extra_keys(wide, wide) == wide
    once = specs.prune_extra_keys(narrow, wide)
    assert specs.prune_extra_keys(narrow, once) == once


def test_a_bare_leaf_is_a_nest():
    assert specs.flatten_with_path(3) == [("", 3)]
    assert specs.map_structure(lambda x: x + 1, 3) == 4


def test_arrays_strings_and_specs_are_leaves():
    leaves = [np.zeros(2), "text", TensorSpec((), "int32"), jax.numpy.zeros(2), {1, 2}]
    assert all(found is leaf for found, leaf in zip(specs.flatten(leaves), leaves, strict=True))


def test_mappings_are_one_kind():
    frozen = types.MappingProxyType({"b": 1, "a": 2})
    specs.assert_same_structure({"a": 0, "b": 0}, frozen)
    assert specs.map_structure(lambda x: -x, frozen) == {"b": -1, "a": -2}
    assert specs.flatten(collections.defaultdict(int, b=1, a=2)) == [2, 1]


def test_map_structure_goes_through_several_nests():
    assert specs.map_structure(lambda *x: sum(x), {"a": (1, 2)}, {"a": (10, 20)}, {"a": (100, 200)}) == {
        "a": (111, 222)
    }
    with pytest.raises(SpecTypeError, match=r"another structure than expected at \['a'\]"):
        specs.map_structure(lambda *x: sum(x), {"a": (1, 2)}, {"a": [10, 20]})


def test_map_with_path_and_fields_of_namedtuples():
    nest = {"x/y": Pair(1, [2]), "é'": ()}
    assert specs.map_with_path(lambda path, _: path, nest) == {
        "x/y": Pair("['x/y'].first", ["['x/y'].second[0]"]),
        "é'": (),
    }


def test_pack_like_refuses_another_number_of_leaves():
    with pytest.raises(SpecError, match="the leaves do not fill the nest\n  expected  2 leaves          got  1"):
        specs.pack_like((0, 0), [1])


@pytest.mark.parametrize(
    ("nest", "text"),
    [
        (None, "None is not a leaf\n  expected  `()` for nothing"),
        ({"a": [1, None]}, "None is not a leaf at ['a'][1]"),
        ({"a": Pair(1, {1: 2, "b": 3})}, "the keys of a mapping have no order at ['a'].second"),
    ],
)
def test_flatten_refuses_what_is_no_nest(nest, text):
    for read in (specs.flatten, specs.flatten_with_path, lambda n: specs.prune_extra_keys(n, n)):
        with pytest.raises(SpecError) as error:
            read(nest)
        assert text in str(error.value)


def test_cyclic_containers_are_refused_and_shared_ones_are_not():
    shared = [1, 2]
    assert specs.flatten((shared, {"x": shared}, shared)) == [1, 2, 1, 2, 1, 2]
    cycle = {"a": [1]}
    cycle["a"].append((2, cycle))
    with pytest.raises(SpecError, match=r"not a nest: the container holds itself at \['a'\]\[1\]\[1\]"):
        specs.flatten(cycle)
    with pytest.raises(SpecError, match="holds itself"):
        specs.prune_extra_keys(cycle, cycle)


def test_deep_nests_do_not_recurse():
    nest = deep(2000)
    assert len(specs.flatten(nest)) == 2000
    assert specs.flatten_with_path(nest)[0] == ("[0]" * 1999 + "[1]", 1)
    mapped = specs.map_structure(lambda x: x + 1, nest)
    assert set(specs.flatten(mapped)) == {2}
    assert len(specs.flatten(specs.prune_extra_keys(nest, mapped))) == 2000
    specs.assert_same_structure(nest, mapped)
    with pytest.raises(SpecError, match="another structure"):
        specs.assert_same_structure(nest, deep(1999))


def test_wide_nests_take_linear_time():
    def seconds(width):
        nest = {f"key {index}": index for index in range(width)}
        start = time.perf_counter()
        specs.map_with_path(lambda path, leaf: leaf, nest)
        specs.prune_extra_keys(nest, nest)
        specs.assert_same_structure(nest, nest)
        return time.perf_counter() - start

    few = min(seconds(10_000) for _ in range(3))
    assert seconds(100_000) < 50 * few  # ten times the leaves; quadratic time would be a hundredfold


@pytest.mark.parametrize(
    ("expected", "got", "kind", "text"),
    [
        (
            {"x": {"position": 0, "velocity": 0}},
            {"x": {"position": 0, "vel": 0}},
            SpecError,
            "value has another structure than expected at ['x']\n"
            "  expected  mapping with 'position', 'velocity'          got  + 'vel'  - 'velocity'\n"
            "  Likely cause: a misspelt key: did you mean 'velocity' instead of 'vel'?",
        ),
        ({"a": 0}, {"a": 0, "zebra": 0}, SpecError, "expected  mapping with 'a'          got  + 'zebra'"),
        ({"a": 0, "zebra": 0}, {"a": 0}, SpecError, "got  - 'zebra'"),
        ({str(n): 0 for n in range(9)}, {}, SpecError, "- '0', - '1', - '2', - '3', - '4', - '5' and 3 more"),
        ((0, 0), [0, 0], SpecTypeError, "expected  tuple of 2          got  list of 2\n  Fix: tuple(value)"),
        ([0], (0,), SpecTypeError, "Fix: list(value)"),
        ((0, 0), (0, 0, 0), SpecError, "expected  tuple of 2          got  tuple of 3"),
        (Pair(0, 0), Couple(0, 0), SpecTypeError, "expected  Pair of 2          got  Couple of 2"),
        ({"first": 0, "second": 0}, Pair(0, 0), SpecTypeError, "got  Pair of 2"),
        ((), {"a": 0}, SpecTypeError, "expected  empty tuple          got  mapping with 'a'"),
        (
            {"a": TensorSpec((2,), "float32")},
            ({"a": np.zeros(2)}, {}),
            SpecTypeError,
            "Gymnasium's reset() returns a pair (observation, info).\n  Fix: observation, _ = env.reset()",
        ),
        (TensorSpec((2,), "float32"), (np.zeros(2), {"lives": 3}), SpecError, "Fix: observation, _ = env.reset()"),
        (
            {"a": TensorSpec((2,), "float32")},
            {"a": [0.0, 1.0]},
            SpecError,
            "expected  float32 (2,)          got  list of 2\n"
            "  Likely cause: a list is a nest of its elements, not an array.\n"
            "  Fix: numpy.asarray(value, dtype)",
        ),
        ({"a": (0, 1)}, {"a": 3.5}, SpecError, "expected  tuple of 2          got  a Python float"),
    ],
)
def test_structure_errors_show_the_place_and_the_difference(expected, got, kind, text):
    with pytest.raises(SpecError) as error:
        specs.assert_same_structure(expected, got)
    assert type(error.value) is kind
    assert text in str(error.value)


def test_structure_error_names_the_value():
    with pytest.raises(
        SpecError, match=r"^observation from MyEnv.step\(\) has another structure than expected at \['a'\]"
    ):
        specs.assert_same_structure({"a": ()}, {"a": 1}, what="observation from MyEnv.step()")


def test_prune_extra_keys_leaves_alone_what_does_not_fit():
    assert specs.prune_extra_keys({"a": {"x": 0}, "b": [0]}, {"a": {"y": 1}, "b": [1], "c": 2}) == {
        "a": {"y": 1},
        "b": [1],
    }
    assert specs.prune_extra_keys(Pair(0, {"a": 0}), Couple(0, {"a": 0, "b": 1})) == Couple(0, {"a": 0, "b": 1})
    assert specs.prune_extra_keys(((), {"a": ()}), (5, {"a": {"b": 3}, "c": 1})) == ((), {"a": ()})
    ordered = specs.prune_extra_keys({"a": 0, "b": 0}, collections.OrderedDict(c=1, b=2, a=3))
    assert list(ordered.items()) == [("b", 2), ("a", 3)]
    assert isinstance(ordered, collections.OrderedDict)
