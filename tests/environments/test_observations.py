"""Observations on their way from the host."""

from __future__ import annotations

import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.environments._observations import ObservationReader

CAMERA = specs.BoundedTensorSpec((84, 84, 4), np.uint8, 0, 255)
SPEED = specs.TensorSpec((), np.float32)
NESTED = {"camera": CAMERA, "speed": SPEED}


def test_rows_are_gathered_into_fresh_arrays():
    reader = ObservationReader(NESTED, 2)
    arrays, frame = reader.empty(), np.zeros((84, 84, 4), np.uint8)
    for row in range(2):
        frame[:] = row
        assert reader.write(arrays, row, {"camera": frame, "speed": 0.5 * row}, "World.step()") is None
    assert reader.judge(arrays, "World") is None
    nest = reader.pack(arrays)
    assert nest["camera"].shape == (2, 84, 84, 4)
    assert nest["camera"][0].max() == 0
    np.testing.assert_array_equal(nest["speed"], np.float32([0, 0.5]))


@pytest.mark.parametrize(
    ("camera", "text"),
    [
        (np.zeros((4, 84, 84), np.uint8), "channels first"),
        (np.zeros((84, 84), np.uint8), "a shape that changed"),
        (np.zeros((84, 84, 4), np.float32), "cannot be converted without loss"),
        (np.full((84, 84, 4), 300), "is out of range at ['camera']"),
        (None, "None is not a leaf"),
    ],
)
def test_a_leaf_that_does_not_fit_is_named_with_a_cause(camera, text):
    reader = ObservationReader(NESTED, 1)
    fault = reader.write(reader.empty(), 0, {"camera": camera, "speed": 0.0}, "World.step()")
    assert fault is not None
    assert text in fault.message("here")
    assert "['camera']" in fault.message("here")


def test_a_large_but_finite_number_is_no_fault_and_raises_no_warning():
    """Its square overflows float32, which the quick test takes for an infinity; the exact one does not."""
    reader = ObservationReader(specs.TensorSpec((3,), np.float32), 2)
    assert reader.judge([np.full((2, 3), 3e38, np.float32)], "World") is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found_in_its_row(bad):
    reader = ObservationReader(specs.TensorSpec((3,), np.float32), 2)
    array = np.zeros((2, 3), np.float32)
    array[1, 2] = bad
    row, fault = reader.judge([array], "World")
    assert row == 1
    assert f"1 of 3 values, first {bad}" in fault.message("here")


def test_integers_out_of_their_bounds_are_found_in_their_row():
    reader = ObservationReader(specs.BoundedTensorSpec((), np.int64, 0, 4), 3)
    row, fault = reader.judge([np.array([0, 4, 5])], "World")
    assert row == 2
    assert "expected  0 to 4" in fault.message("here")
