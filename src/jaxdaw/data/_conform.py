"""Conversion of arrays to the dtypes of their specs; values that do not fit are refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.errors import SpecError, SpecTypeError


def conform(nest: Any, spec: Any, what: str) -> Any:
    """Returns a nest of `[T, ...]` in the dtypes of its spec, uncopied where it has them.

    Integers become other integers and floats, floats other floats; values that the dtype cannot hold are refused.

    Raises:
      SpecTypeError: another structure, or a dtype that needs a loss of meaning, such as float to integer.
      SpecError: a value outside the dtype.
    """
    specs.assert_same_structure(spec, nest, what=what)
    pairs = zip(specs.flatten_with_path(nest), specs.flatten(spec), strict=True)
    return specs.pack_like(nest, [cast(np.asarray(leaf), of.dtype, f"{what}{path}") for (path, leaf), of in pairs])


def cast(array: np.ndarray, dtype: np.dtype, what: str) -> np.ndarray:
    """Returns an array in another dtype of numbers, uncopied where it has it; for the rules see `conform`."""
    if array.dtype == dtype:
        return array
    if not _castable(array.dtype, dtype):
        raise SpecTypeError(
            f"the dtype of {what} cannot become that of its spec without loss",
            expected=str(dtype),
            got=str(array.dtype),
            fix=f"array.astype('{dtype}'), if that is what you mean",
        )
    with np.errstate(over="ignore"):  # reported below, with the index
        found = array.astype(dtype)
    lost = found != array if dtype.kind in "iu" else np.isfinite(array) & ~np.isfinite(found.astype(np.float64))
    if np.any(lost):
        first = tuple(int(i) for i in np.argwhere(lost)[0])
        raise SpecError(
            f"{int(lost.sum())} values of {what} do not fit {dtype}",
            expected=str(dtype),
            got=f"{array[first]} at {list(first)}",
        )
    return found


def _castable(given: np.dtype, wanted: np.dtype) -> bool:
    groups = {"f": "fiub", "i": "iub", "u": "iub", "b": "b", "V": "fiub"}  # V: bfloat16
    return given.kind in groups.get(wanted.kind, "")
