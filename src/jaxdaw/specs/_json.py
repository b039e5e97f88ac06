"""Nests of specs to JSON and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdaw.errors import SpecTypeError
from jaxdaw.specs._spec import BoundedTensorSpec, TensorSpec


def to_json(spec: Any) -> dict[str, Any]:
    """Returns a nest of specs as JSON: every leaf and every container is `{kind: contents}`.

    Args:
      spec: a nest of specs; its containers are dictionaries with keys of text or integers, lists and tuples.

    Raises:
      SpecTypeError: a leaf that is no spec, a named tuple, whose class a file cannot name, or a key of another type.

    >>> to_json((TensorSpec((2,), "float32"),))
    {'tuple': [{'spec': {'shape': [2], 'dtype': 'float32', 'name': None}}]}
    """
    if isinstance(spec, TensorSpec):
        return {"spec": _describe(spec)}
    if isinstance(spec, Mapping) and all(isinstance(key, str | int) for key in spec):
        return {"dict": [[key, to_json(child)] for key, child in spec.items()]}
    if isinstance(spec, list | tuple) and not hasattr(spec, "_fields"):
        return {"tuple" if isinstance(spec, tuple) else "list": [to_json(child) for child in spec]}
    raise SpecTypeError(
        "a nest of specs has no form in JSON",
        expected="specs in dictionaries, lists and tuples",
        got=f"{type(spec).__name__} {spec!r}"[:60],
        fix="a dictionary of the same names in place of a named tuple" if hasattr(spec, "_fields") else None,
    )


def from_json(described: Any) -> Any:
    """Returns the nest of specs that `to_json` was given.

    Raises:
      SpecError, KeyError, TypeError, ValueError, OverflowError: not the JSON of a nest of specs.
    """
    ((kind, contents),) = described.items()
    match kind:
        case "spec":
            return _restore(contents)
        case "dict":
            return {key: from_json(child) for key, child in contents}
        case "list":
            return [from_json(child) for child in contents]
        case "tuple":
            return tuple(from_json(child) for child in contents)
    raise KeyError(kind)


def _describe(spec: TensorSpec) -> dict[str, Any]:
    described = {"shape": list(spec.shape), "dtype": spec.dtype.name, "name": spec.name}
    if isinstance(spec, BoundedTensorSpec):
        described |= {"minimum": _describe_bound(spec.minimum), "maximum": _describe_bound(spec.maximum)}
    return described


def _restore(described: Mapping[str, Any]) -> TensorSpec:
    shape, name = tuple(described["shape"]), described["dtype"]
    dtype = jnp.dtype(name)
    if dtype.name != name:  # NumPy also accepts other spellings: "f4", ">i2", ...
        raise ValueError(f"no dtype {name!r}")
    if "minimum" not in described:
        return TensorSpec(shape, dtype, described["name"])
    minimum, maximum = (np.asarray(_without_text(described[side]), dtype) for side in ("minimum", "maximum"))
    return BoundedTensorSpec(shape, dtype, minimum, maximum, described["name"])


def _describe_bound(bound: np.ndarray) -> Any:
    """Returns numbers, a single one if all are equal, with infinities as text, for which JSON has no number."""
    exact = bound if bound.dtype.kind in "biu" else bound.astype(np.float64)
    equal = bool(np.all(exact == exact.flat[0]))
    return _with_text(exact.flat[0].item() if equal else exact.tolist())


def _with_text(entry: Any) -> Any:
    if isinstance(entry, list):
        return [_with_text(child) for child in entry]
    return str(entry) if isinstance(entry, float) and math.isinf(entry) else entry


def _without_text(described: Any) -> Any:
    if isinstance(described, list):
        return [_without_text(entry) for entry in described]
    return float(described) if isinstance(described, str) else described
