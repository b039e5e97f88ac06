"""Specs there and back through JSON text."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
import pytest

from jaxdaw.errors import SpecTypeError
from jaxdaw.specs import BoundedTensorSpec, TensorSpec, from_json, to_json

NEST = {
    "camera": (BoundedTensorSpec((2, 2), "uint8", 0, 255, "c"), [TensorSpec((3,), "float64")]),
    3: BoundedTensorSpec((2,), "float32", [-np.inf, 0.1], np.inf),
    "é": TensorSpec((), "bfloat16"),
}


@pytest.mark.parametrize("spec", [NEST, TensorSpec((), "bool"), BoundedTensorSpec((), "int64", -1, 7), [], ()])
def test_to_json_and_back_gives_an_equal_nest(spec: Any):
    described = to_json(spec)
    back = from_json(json.loads(json.dumps(described, allow_nan=False)))
    assert back == spec
    assert type(back) is type(spec)


@pytest.mark.parametrize("leaf", [3, None, {("a",): TensorSpec((), "int8")}])
def test_to_json_refuses_what_is_no_nest_of_specs(leaf: Any):
    with pytest.raises(SpecTypeError, match=r"no form in JSON\n  expected  specs in dictionaries"):
        to_json({"a": leaf})


def test_to_json_refuses_a_named_tuple():
    class Pair(NamedTuple):
        left: Any

    with pytest.raises(SpecTypeError, match="a dictionary of the same names"):
        to_json(Pair(TensorSpec((), "int8")))


@pytest.mark.parametrize(
    "described",
    [
        {},
        [],
        {"spec": {}},
        {"code": "print()"},
        {"spec": {"shape": [-1], "dtype": "float32", "name": None}},
        {"spec": {"shape": [1], "dtype": "f4", "name": None}},
        {"spec": {"shape": [1], "dtype": "object", "name": None}},
        {"spec": {"shape": [1], "dtype": "float32", "name": None, "minimum": "x", "maximum": 1}},
    ],
)
def test_from_json_refuses_anything_else(described: Any):
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        from_json(described)
