"""Bounds of leaves, against NumPy's own."""

import ml_dtypes
import numpy as np
import pytest

from jaxdaw.data.demonstrations._bounds import bounds_of


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("shape", [(), (3,), (2, 5), (70,), (0,)])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "bool", "int64"])
def test_bounds_are_the_least_and_the_greatest(rows: int, shape: tuple[int, ...], dtype: str):
    array = (np.random.default_rng(0).normal(size=(rows, *shape)) * 50).astype(np.int64).astype(dtype)
    low, high = bounds_of(array)
    assert low.dtype == high.dtype == dtype
    np.testing.assert_array_equal(low, array.min(axis=0))
    np.testing.assert_array_equal(high, array.max(axis=0))


def test_bounds_are_nan_where_one_is_and_those_of_bfloat16_are_float32():
    array = np.arange(200.0).reshape(100, 2)
    array[70, 1] = np.nan
    np.testing.assert_array_equal(bounds_of(array), [[0, np.nan], [198, np.nan]])
    low, high = bounds_of(array[:3].astype(ml_dtypes.bfloat16))
    assert (low.dtype, low.tolist(), high.tolist()) == (np.float32, [0, 1], [4, 5])
