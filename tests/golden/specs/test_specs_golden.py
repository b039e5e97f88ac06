"""The tables of specs and nests, every row of every table; where jaxdaw differs on purpose the row says why."""

import collections
import contextlib
import re

import jax
import numpy as np
import pytest

from golden import cases
from jaxdaw import specs
from jaxdaw.errors import SpecError, SpecTypeError

Pair = collections.namedtuple("Pair", "first second")
STRUCTURES = {
    "leaf": 0,
    "tuple2": (0, 0),
    "list2": [0, 0],
    "tuple1": (0,),
    "tuple3": (0, 0, 0),
    "empty_tuple": (),
    "dict_ab": {"a": 0, "b": 0},
    "dict_ba": {"b": 0, "a": 0},
    "dict_ac": {"a": 0, "c": 0},
    "dict_abc": {"a": 0, "b": 0, "c": 0},
    "ordered_ba": collections.OrderedDict([("b", 0), ("a", 0)]),
    "namedtuple": Pair(first=0, second=0),
    "nested": {"a": (0, {"x": 0}), "b": 0},
    "nested_list": {"a": [0, {"x": 0}], "b": 0},
}
READ = set()


def table(name):
    """Parametrizes a test over the rows of a table."""
    READ.add(name)
    rows = cases.rows("specs", name)
    return pytest.mark.parametrize("row", rows, ids=[f"{name}-{index}" for index in range(len(rows))])


def number(bound):
    return bound if isinstance(bound, int | float | list | None) else float(bound)  # "inf", "-inf"


def parse(doc):
    if "dict" in doc:
        return {key: parse(child) for key, child in doc["dict"].items()}
    if "tuple" in doc:
        return tuple(parse(child) for child in doc["tuple"])
    if "minimum" in doc:
        bounds = number(doc["minimum"]), number(doc["maximum"])
        return specs.BoundedTensorSpec(doc["shape"], doc["dtype"], *bounds, doc.get("name"))
    return specs.TensorSpec(doc["shape"], doc["dtype"], doc.get("name"))


def bounded(row):
    return specs.BoundedTensorSpec(row["shape"], row["dtype"], number(row["minimum"]), number(row["maximum"]))


def test_every_table_is_read():
    assert set(cases.names("specs")) == READ


@table("bounded_tensor_spec_construction")
def test_bounded_spec_stores_its_bounds(row):
    # The reference accepts minimum > maximum, and bounds that make the shape () a shape (2,): no array meets the first,
    # and the second is another spec than the shape says. Refused.
    is_crossed, is_wider = row["minimum"] == 1.0, row["shape"] == [] and isinstance(row["minimum"], list)
    if row["raises"] or is_crossed or is_wider:
        with pytest.raises(ValueError, match=r"minimum|maximum"):
            bounded(row)
        return
    spec = bounded(row)
    assert spec.dtype == spec.minimum.dtype == spec.maximum.dtype == row["stored_dtype"]
    assert list(spec.minimum.shape) == row["stored_minimum_shape"]
    np.testing.assert_array_equal(spec.minimum, np.asarray(number(row["stored_minimum"]), row["dtype"]))
    np.testing.assert_array_equal(spec.maximum, np.asarray(number(row["stored_maximum"]), row["dtype"]))


@table("bounded_array_spec_construction")
def test_bounded_spec_stores_its_bounds_in_the_numpy_flavour(row):
    # One spec class serves both flavours of the reference, with the rules of its tensor spec: a missing bound is
    # refused (from_spec gives the limits of the dtype), and infinite ones are kept, as only sampling needs finite ones.
    is_missing = row["minimum"] is None or row["maximum"] is None
    if row["raises"] or is_missing:
        with pytest.raises(ValueError, match=r"minimum|maximum"):
            bounded(row)
    if is_missing:
        filled = specs.BoundedTensorSpec.from_spec(specs.TensorSpec(row["shape"], row["dtype"]))
        which = "minimum" if row["minimum"] is None else "maximum"
        assert float(getattr(filled, which)) == row[f"stored_{which}"]
    elif not row["raises"]:
        spec, is_infinite = bounded(row), row["minimum"] == "-inf"
        np.testing.assert_array_equal(spec.minimum, -np.inf if is_infinite else row["stored_minimum"])
        np.testing.assert_array_equal(spec.maximum, np.inf if is_infinite else row["stored_maximum"])


@table("tensor_spec_equality")
def test_specs_are_equal(row):
    left, right = parse(row["left"]), parse(row["right"])
    assert (left == right) == (right == left) == row["equal"]
    assert hash(left) == hash(right) or not row["equal"]
    assert ((left.shape, left.dtype) == (right.shape, right.dtype)) == row["compatible"]


@table("array_spec_equality")
def test_specs_are_equal_in_the_numpy_flavour(row):
    # One spec class, which compares names as the reference's tensor spec does; its array spec does not.
    left, right = parse(row["left"]), parse(row["right"])
    assert (left == right) == (row["equal"] and left.name == right.name)


@table("predicates")
def test_predicates(row):
    spec = parse(row["spec"])
    assert specs.is_discrete(spec) == row["is_discrete"]
    assert specs.is_continuous(spec) == row["is_continuous"]
    assert specs.is_bounded(spec) == row["is_bounded"]


@table("transformations")
def test_transformations(row):
    change = {
        "add_outer_dims": lambda spec: specs.add_outer_dims(spec, row["argument"]),
        "remove_outer_dims": lambda spec: specs.remove_outer_dims(spec, row["argument"]),
        "with_dtype float64": lambda spec: specs.with_dtype(spec, np.float64),
        "from_spec": lambda spec: spec,  # array specs to tensor specs: one class, nothing to convert
        "bounded from_spec": specs.BoundedTensorSpec.from_spec,
    }[row["operation"]]
    if row["raises"]:
        with pytest.raises(ValueError, match="cannot remove 2 axes"):
            change(parse(row["spec"]))
    else:
        assert change(parse(row["spec"])) == parse(row["result"])


@table("zero_values")
def test_zeros(row):
    outer = tuple(row["outer_dims"] or ())
    for zeros in (specs.zeros, specs.zeros_numpy):
        leaves = specs.flatten(zeros(parse(row["spec"]), outer))
        assert [list(leaf.shape) for leaf in leaves] == row["shapes"]
        assert all(not leaf.any() for leaf in leaves) == row["all_zero"]


@table("check_array")
def test_check(row):
    value = np.asarray(row["value"], row["value_dtype"])
    value = value[()] if row["value_is_numpy_scalar"] else value
    with contextlib.nullcontext() if row["conforms"] else pytest.raises(SpecError, match="does not match its spec"):
        specs.check(value, parse(row["spec"]))


@table("nest_same_structure")
def test_same_structure(row):
    left, right = STRUCTURES[row["left"]], STRUCTURES[row["right"]]
    refusal = {"TypeError": SpecTypeError, "ValueError": SpecError, None: None}[row["raises"]]
    if refusal is None:
        specs.assert_same_structure(left, right)
    else:
        with pytest.raises(refusal, match="another structure") as error:
            specs.assert_same_structure(left, right)
        assert type(error.value) is refusal
    if row["same_without_type_check"]:
        specs.assert_same_structure(left, right, check_types=False)
    else:
        with pytest.raises(ValueError, match="another structure"):
            specs.assert_same_structure(left, right, check_types=False)


@table("nest_flatten_order")
def test_flatten_order(row):
    def steps(path):  # "['a'][1].second" is "a/1/1" in the table
        found = re.findall(r"\['(\w+)'\]|\[(\d+)\]|\.(\w+)", path)
        return "/".join(key or index or str(Pair._fields.index(field)) for key, index, field in found)

    pairs = specs.flatten_with_path(STRUCTURES[row["structure"]])
    assert [steps(path) for path, _ in pairs] == row["flatten_order"]
    assert len(pairs) == row["number_of_leaves"]


@table("nest_prune_extra_keys")
def test_prune_extra_keys(row):
    assert repr(specs.prune_extra_keys(STRUCTURES[row["narrow"]], STRUCTURES[row["wide"]])) == row["result"]


PAIR_SPEC = {"a": specs.TensorSpec((2,), np.float32), "b": specs.TensorSpec((), np.int32)}


def pair_of(row):
    return {"a": np.zeros(row["shape_a"], row.get("dtype_a", "float32")), "b": np.zeros(row["shape_b"], np.int32)}


@table("batch_check")
def test_is_batched(row):
    refusal = {"TypeError": SpecTypeError, "ValueError": SpecError, None: None}[row["raises"]]
    if refusal is None:
        assert specs.is_batched(pair_of(row), PAIR_SPEC, row["num_outer_dims"]) == row["is_batched"]
    else:
        with pytest.raises(refusal, match=r"does not match its spec|a mix of batched and unbatched") as error:
            specs.is_batched(pair_of(row), PAIR_SPEC, row["num_outer_dims"])
        assert type(error.value) is refusal


@table("outer_rank")
def test_outer_rank(row):
    if row["raises"]:
        with pytest.raises(ValueError, match=r"does not match its spec|a mix of batched and unbatched"):
            specs.outer_shape(pair_of(row), PAIR_SPEC)
    else:
        assert len(specs.outer_shape(pair_of(row), PAIR_SPEC)) == row["outer_rank"]


@table("sampling")
def test_sampling(row):
    needs_x64 = row["spec"]["dtype"].endswith("64")
    with jax.enable_x64(True) if needs_x64 else contextlib.nullcontext():
        spec = parse(row["spec"])
        drawn = np.asarray(specs.sample(spec, jax.random.key(7), (row["samples"],)))
    specs.check(drawn, spec, (row["samples"],))  # shape, dtype and closed bounds
    low, high = (np.broadcast_to(bound, spec.shape).astype(float) for bound in (spec.minimum, spec.maximum))
    if "raises" in row:  # the reference cannot mix scalar and vector bounds; jaxdaw can: [0, 1], [0, 2], [0, 3]
        np.testing.assert_array_equal([drawn.min(0), drawn.max(0)], [[0, 0, 0], [1, 2, 3]])
        return
    if specs.is_discrete(spec):
        np.testing.assert_array_equal(drawn.min(0), row["observed_min"])
        np.testing.assert_array_equal(drawn.max(0), row["observed_max"])
    # A uniform variable has deviation of at most (span + 1) / sqrt(12); the mean of n is within 5 / sqrt(n) of those.
    error = 5 * (high - low + specs.is_discrete(spec)) / np.sqrt(12 * row["samples"])
    assert (np.abs(drawn.mean(0, dtype=float) - (low + high) / 2) <= error + 1e-6).all()
    assert (np.abs(drawn.mean(0, dtype=float) - row["mean"]) <= 2 * error + 1e-6).all()
