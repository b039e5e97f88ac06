"""Gymnasium spaces and dm_env specs, there and back."""

import numpy as np
import pytest
from dm_env import specs as dm_specs
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdaw import specs
from jaxdaw.errors import SpecError, SpecTypeError
from jaxdaw.specs import BoundedTensorSpec, TensorSpec, from_dm_env, from_gymnasium, to_gymnasium

QUICK = settings(max_examples=60, deadline=None)

SPACES = [
    (spaces.Box(-1, 1, (3,)), BoundedTensorSpec((3,), "float32", -1, 1)),
    (spaces.Box(0, 255, (8, 8, 3), np.uint8), BoundedTensorSpec((8, 8, 3), "uint8", 0, 255)),
    (
        spaces.Box(np.array([-np.inf, 0], np.float32), np.array([np.inf, 2], np.float32)),
        BoundedTensorSpec((2,), "float32", [-np.inf, 0], [np.inf, 2]),
    ),
    (spaces.Box(-1, 1, (), np.float64), BoundedTensorSpec((), "float64", -1, 1)),
    (spaces.Box(-np.inf, np.inf, (2,), np.float16), BoundedTensorSpec((2,), "float16", -np.inf, np.inf)),
    (spaces.Box(0, 1, (2,), bool), BoundedTensorSpec((2,), bool, False, True)),
    (spaces.Discrete(4), BoundedTensorSpec((), "int64", 0, 3)),
    (spaces.Discrete(3, start=-1), BoundedTensorSpec((), "int64", -1, 1)),
    (spaces.Discrete(2, start=5, dtype=np.int8), BoundedTensorSpec((), "int8", 5, 6)),
    (spaces.MultiDiscrete([2, 5]), BoundedTensorSpec((2,), "int64", 0, [1, 4])),
    (
        spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[1, 0], [-2, 0]]),
        BoundedTensorSpec((2, 2), "int64", [[1, 0], [-2, 0]], [[2, 2], [1, 4]]),  # start + count - 1
    ),
    (spaces.MultiBinary([2, 3]), BoundedTensorSpec((2, 3), "int8", 0, 1)),
    (
        spaces.Dict({"b": spaces.Discrete(2), "a": spaces.Tuple([spaces.MultiBinary(2), spaces.Tuple([])])}),
        {"b": BoundedTensorSpec((), "int64", 0, 1), "a": (BoundedTensorSpec((2,), "int8", 0, 1), ())},
    ),
]


@pytest.mark.parametrize(("space", "spec"), SPACES, ids=lambda value: type(value).__name__)
def test_spaces_convert_both_ways(space, spec):
    assert from_gymnasium(space) == spec
    assert to_gymnasium(spec) == space


@pytest.mark.parametrize("space", [space for space, _ in SPACES], ids=lambda space: type(space).__name__)
def test_samples_of_a_space_match_its_spec(space):
    space.seed(3)
    for _ in range(5):
        specs.check(space.sample(), from_gymnasium(space))


def test_constant_bounds_are_held_as_one_number():
    spec = from_gymnasium(spaces.Box(0, 255, (84, 84, 4), np.uint8))
    assert spec.minimum.shape == spec.maximum.shape == ()
    assert from_gymnasium(spaces.MultiDiscrete([3, 3])).maximum.shape == ()


@st.composite
def bounded_specs(draw):
    dtype = draw(
        st.sampled_from(["bool", "int8", "uint8", "int32", "uint32", "int64", "float16", "float32", "float64"])
    )
    shape = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    integers = {"bool": (0, 1), "int8": (-128, 127), "uint8": (0, 255), "uint32": (0, 2**32 - 1)}
    if dtype.startswith("float"):
        numbers = st.floats(-100, 100, width=16) | st.sampled_from([-np.inf, np.inf])
    else:
        numbers = st.integers(*integers.get(dtype, (-(2**31), 2**31 - 1)))
    one, other = (np.asarray(draw(numbers)) for _ in range(2))
    low, high = np.minimum(one, other), np.maximum(one, other)
    if (np.isinf(low) and low > 0) or (np.isinf(high) and high < 0):  # Gymnasium refuses an empty half line
        low, high = -high, -low
        low, high = min(low, -1.0), max(high, 1.0)
    return BoundedTensorSpec(shape, dtype, low, high)


NESTS = st.recursive(
    bounded_specs(),
    lambda child: st.lists(child, max_size=2).map(tuple) | st.dictionaries(st.text(max_size=3), child, max_size=2),
    max_leaves=4,
)


@QUICK
@given(NESTS)
def test_specs_come_back_from_gymnasium(spec):
    assert from_gymnasium(to_gymnasium(spec)) == spec


@pytest.mark.parametrize(
    ("spec", "space"),
    [
        (TensorSpec((2,), "float32"), spaces.Box(-np.inf, np.inf, (2,))),
        (TensorSpec((2,), "uint8"), spaces.Box(0, 255, (2,), np.uint8)),
        (TensorSpec((), bool), spaces.Box(0, 1, (), bool)),
        (TensorSpec((), "int16"), spaces.Box(-(2**15), 2**15 - 1, (), np.int16)),
        (
            BoundedTensorSpec((), "uint8", 0, 255),
            spaces.Box(0, 255, (), np.uint8),
        ),  # Discrete would need 256 as a uint8
        ([TensorSpec((), "float32")], spaces.Tuple([spaces.Box(-np.inf, np.inf, ())])),
    ],
)
def test_to_gymnasium_of_specs_that_no_space_gives(spec, space):
    assert to_gymnasium(spec) == space


@pytest.mark.parametrize(
    "space",
    [
        spaces.Text(3),
        spaces.Sequence(spaces.Discrete(2)),
        spaces.Graph(spaces.Discrete(2), None),
        spaces.OneOf([spaces.Discrete(2)]),
    ],
    ids=lambda space: type(space).__name__,
)
def test_unsupported_spaces_are_refused_by_path(space):
    with pytest.raises(SpecError) as error:
        from_gymnasium(spaces.Dict({"x": spaces.Tuple([space])}))
    assert "unsupported space at ['x'][0]\n  expected  Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple" in str(
        error.value
    )
    assert f"got  {type(space).__name__}" in str(error.value)


def test_spaces_that_cannot_be_specs_are_refused_by_path():
    wide, empty = spaces.Box(0, 2**40, (), np.int64), spaces.Box(0, 1, (0,))
    with pytest.raises(
        SpecError, match=r"no spec for the space at \['x'\]: maximum of spec int64 .* does not fit int32"
    ):
        from_gymnasium(spaces.Dict({"x": wide}))
    with pytest.raises(SpecError, match="no spec for the space: the shape of a spec has a size below 1"):
        from_gymnasium(empty)


def test_to_gymnasium_refuses_leaves_without_a_space():
    with pytest.raises(SpecTypeError, match="no space for this leaf"):
        to_gymnasium({"a": 3})
    with pytest.raises(SpecTypeError, match=r"(?s)no space for this leaf.*bfloat16"):
        to_gymnasium(TensorSpec((), "bfloat16"))


def test_dm_env_specs_convert():
    nest = {
        "a": dm_specs.Array((2,), np.float64, "position"),
        "b": [dm_specs.BoundedArray((2,), np.float32, [0, 1], np.inf, "force")],
        "c": dm_specs.DiscreteArray(5, np.int32, "gear"),
        "d": dm_specs.BoundedArray((2, 2), np.uint8, 0, 255),
    }
    assert from_dm_env(nest) == {
        "a": TensorSpec((2,), "float64", "position"),
        "b": [BoundedTensorSpec((2,), "float32", [0, 1], np.inf, "force")],
        "c": BoundedTensorSpec((), "int32", 0, 4, "gear"),
        "d": BoundedTensorSpec((2, 2), "uint8", 0, 255),
    }
    assert from_dm_env(nest["d"]).minimum.shape == ()


@pytest.mark.parametrize("leaf", [dm_specs.StringArray((2,)), 3])
def test_dm_env_specs_of_text_and_other_things_are_refused(leaf):
    with pytest.raises(
        SpecError, match=r"unsupported spec at \['x'\]\n  expected  Array, BoundedArray or DiscreteArray"
    ):
        from_dm_env({"x": leaf})
