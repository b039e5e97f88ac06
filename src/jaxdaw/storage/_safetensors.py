"""The layout of a safetensors file, computed from names, shapes and dtypes alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxdaw.errors import StorageError
from jaxdaw.storage._json_with_digest import canonical_json

_CODES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32",
    "uint64": "U64", "int64": "I64", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "complex64": "C64",
}  # fmt: skip
"""The safetensors code of each dtype that can be stored."""


def layout(arrays: Mapping[str, Any]) -> tuple[bytes, list[str], int]:
    """Returns the start of the safetensors file of these arrays, the order in which they follow, and the file's size.

    All three follow from names, shapes and dtypes alone. Larger items stand first, so that every array is aligned. The
    library's own writer would need all arrays on the host at once, and loses the reason when the disk is full.

    Args:
      arrays: by name: anything with `shape` and `dtype`.

    Raises:
      StorageError: a dtype that the format does not have.

    >>> layout({"x": np.zeros(3, "float32")})[0][8:]
    b'{"x":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}} '
    """
    for name, array in arrays.items():
        if array.dtype.name not in _CODES:
            raise StorageError(
                f"the leaf {name} cannot be stored", expected="an array of numbers", got=f"dtype {array.dtype}"
            )
    order = sorted(arrays, key=lambda name: (-np.dtype(arrays[name].dtype).itemsize, name))
    sizes = [math.prod(arrays[name].shape) * np.dtype(arrays[name].dtype).itemsize for name in order]
    ends = list(itertools.accumulate(sizes, initial=0))
    table = {
        name: {
            "dtype": _CODES[arrays[name].dtype.name],
            "shape": list(arrays[name].shape),
            "data_offsets": [start, end],
        }
        for name, start, end in zip(order, ends, ends[1:], strict=False)
    }
    text = canonical_json(table)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, order, 8 + len(text) + ends[-1]


def on_host(array: Any) -> np.ndarray:
    """Returns an array in C order and native byte order (little-endian wherever JAX runs), uncopied if it is so."""
    host = np.asarray(array, order="C")
    return host.astype(host.dtype.newbyteorder("="), copy=False)


def bytes_of(array: np.ndarray) -> memoryview:
    """Returns the bytes of a contiguous array, uncopied."""
    return array.reshape(-1).view(np.uint8).data
