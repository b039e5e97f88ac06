"""Reads the reference cases and compares with their tolerances."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdaw import specs
from jaxdaw.trajectories import TimeStep, Trajectory

HERE = Path(__file__).parent


class Case(NamedTuple):
    doc: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def close(self, key: str, got: Any, want: Any = None) -> None:
        """Asserts that `got` is the stored array under `key`, within the case's tolerance."""
        want = self.arrays[key] if want is None else want
        rules = self.doc["tolerance"]
        prefix = max((p for p in rules["by_prefix"] if key.startswith(p)), key=len, default=None)
        limit = rules["default"] if prefix is None else rules["by_prefix"][prefix]
        np.testing.assert_allclose(
            np.asarray(got), want, rtol=limit["rtol"], atol=limit["atol"], err_msg=key, equal_nan=True
        )

    def sub(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays under `prefix/`, by the rest of their key."""
        return {k[len(prefix) + 1 :]: v for k, v in self.arrays.items() if k.startswith(prefix + "/")}


def names(family: str) -> list[str]:
    index = json.loads((HERE / family / "index.json").read_text())
    return [case["name"] for case in index["cases"]] if isinstance(index, dict) else [case["name"] for case in index]


def load(family: str, name: str) -> Case:
    doc = json.loads((HERE / family / f"{name}.json").read_text())
    path = HERE / family / f"{name}.npz"
    arrays = dict(np.load(path, allow_pickle=False)) if path.exists() else {}
    return Case(doc, arrays)


def rows(family: str, name: str) -> list[dict[str, Any]]:
    return json.loads((HERE / family / f"{name}.json").read_text())["rows"]


def nest(arrays: dict[str, np.ndarray]) -> Any:
    """Rebuilds a nest from keys joined by `/`; numeric parts are tuple positions."""
    if list(arrays) == [""]:
        return arrays[""]
    heads = sorted({k.split("/")[0] for k in arrays})
    children = {h: nest({k[len(h) + 1 :]: v for k, v in arrays.items() if k.split("/")[0] == h}) for h in heads}
    return tuple(children[h] for h in heads) if all(h.isdigit() for h in heads) else children


def trajectory(arrays: dict[str, np.ndarray]) -> Trajectory:
    parts = {f: nest(_below(arrays, f)) if _below(arrays, f) else () for f in Trajectory._fields}
    return Trajectory(**parts)


def _below(arrays: dict[str, np.ndarray], field: str) -> dict[str, np.ndarray]:
    return {k[len(field) + 1 :]: v for k, v in arrays.items() if k == field or k.startswith(field + "/")}


def spec(doc: Any) -> Any:
    """Builds a spec nest from its JSON form."""
    if "dict" in doc:
        return {k: spec(v) for k, v in doc["dict"].items()}
    if "tuple" in doc or "list" in doc:
        values = [spec(v) for v in doc.get("tuple", doc.get("list"))]
        return tuple(values) if "tuple" in doc else values
    if "TimeStep" in doc:
        return TimeStep(**{k: spec(v) for k, v in doc["TimeStep"].items()})
    if "minimum" in doc:
        low, high = (
            np.asarray(doc[k], float) if doc["dtype"].startswith("f") else doc[k] for k in ("minimum", "maximum")
        )
        return specs.BoundedTensorSpec(doc["shape"], doc["dtype"], low, high, doc.get("name"))
    return specs.TensorSpec(doc["shape"], doc["dtype"], doc.get("name"))
