"""Files that the safetensors library reads."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from jaxdaw.errors import StorageError
from jaxdaw.storage import bytes_of, layout, on_host


@pytest.mark.parametrize(
    "dtype",
    ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "bfloat16", "float32",
     "float64", "complex64"],
)  # fmt: skip
def test_layout_is_one_that_the_safetensors_library_reads(dtype: str, tmp_path: Path):
    arrays = {
        "['é']": np.arange(6).reshape(2, 3).astype(jnp.dtype(dtype)),
        "empty": np.zeros((0, 3), jnp.dtype(dtype)),
        "one": np.ones((), np.int8),  # a size that misaligns whatever would follow it
        "scalar": np.ones((), jnp.dtype(dtype)),
    }
    header, order, size = layout(arrays)
    parts = [header, *(bytes_of(arrays[name]) for name in order)]
    (tmp_path / "x").write_bytes(b"".join(parts))
    assert (tmp_path / "x").stat().st_size == size
    loaded = load_file(tmp_path / "x")
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        assert np.array_equal(loaded[name], array)


@pytest.mark.parametrize(("array", "dtype"), [(np.array("text"), "<U4"), (np.zeros(2, complex), "complex128")])
def test_layout_refuses_a_dtype_that_the_format_lacks(array: np.ndarray, dtype: str):
    with pytest.raises(StorageError, match=rf"the leaf \['x'\] cannot be stored\n.*got  dtype {dtype}"):
        layout({"['x']": array})


def test_on_host_copies_only_what_it_must():
    plain = np.arange(6.0).reshape(2, 3)
    assert np.shares_memory(on_host(plain), plain)
    assert np.shares_memory(bytes_of(plain), plain)
    array = jnp.arange(1000.0)
    assert np.shares_memory(on_host(array), np.asarray(array))  # on a CPU JAX and NumPy share memory
    for odd in (plain.T, np.arange(6, dtype=">i4"), plain[:, ::2]):
        host = on_host(odd)
        assert np.array_equal(host, odd)
        assert host.flags.c_contiguous
        assert host.dtype.isnative
