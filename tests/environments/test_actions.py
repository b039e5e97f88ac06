"""Actions on their way to the host: converted without loss, or refused by name."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.environments._actions import ActionReader
from jaxdaw.errors import SpecError, SpecTypeError

DISCRETE = specs.BoundedTensorSpec((), np.int64, -1, 2)
CONTINUOUS = specs.BoundedTensorSpec((2,), np.float32, [-1.0, 0.0], [1.0, np.inf])
NESTED = {"gear": DISCRETE, "wheel": CONTINUOUS}
GOING = np.zeros(2, bool)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_every_width_of_integer_is_taken(dtype):
    got = ActionReader(DISCRETE, 2).read(np.array([-1, 2], dtype), GOING)
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, [-1, 2])


@pytest.mark.parametrize(
    "action", [[0, 1], (0, 1), jnp.array([0, 1]), np.array([0, 1], np.uint8), np.array([0, 1], ">i4")]
)
def test_lists_jax_arrays_and_other_byte_orders_are_taken(action):
    np.testing.assert_array_equal(ActionReader(DISCRETE, 2).read(action, GOING), [0, 1])


@pytest.mark.parametrize(
    ("spec", "action", "error", "text"),
    [
        (DISCRETE, [0, 3], SpecError, r"action is out of range in row 1\n  expected  -1 to 2 +got  3"),
        (DISCRETE, [-2, 0], SpecError, "row 0"),
        (specs.BoundedTensorSpec((), np.int8, 0, 3), np.array([0, 257]), SpecError, "got  257"),  # 257 is 1 modulo 256
        (specs.BoundedTensorSpec((), np.uint8, 0, 3), [-1, 0], SpecError, "got  -1"),
        (DISCRETE, [0.0, 1.0], SpecTypeError, r"action has another dtype .*\n.*int64.*float64 \(2,\)"),
        (DISCRETE, [0], SpecError, "another shape"),
        (DISCRETE, [[0], [1]], SpecError, "another shape"),
        (DISCRETE, None, SpecError, "another shape"),
        (CONTINUOUS, [[0, 0], [np.nan, 0]], SpecError, "got  nan"),
        (CONTINUOUS, [[0, np.inf], [0, 0]], SpecError, "got  inf"),
        (CONTINUOUS, [[0, 1e300], [0, 0]], SpecError, "got  inf"),
        (
            NESTED,
            {"gear": np.array([0, 5]), "wheel": np.zeros((2, 2))},
            SpecError,
            r"action at \['gear'\] is out of range in row 1",
        ),
        (NESTED, {"gear": np.array([0, 0])}, SpecError, "wheel"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(spec, action, error, text):
    with pytest.raises(error, match=text):
        ActionReader(spec, 2).read(action, GOING)


def test_rows_that_have_ended_get_a_legal_action():
    got = ActionReader(DISCRETE, 2).read(np.array([99, 1]), np.array([True, False]))
    np.testing.assert_array_equal(got, [-1, 1])
    got = ActionReader(CONTINUOUS, 2).read([[np.nan, 5.0], [0.5, -5.0]], np.array([True, False]))
    np.testing.assert_array_equal(got, np.array([[-1, 0], [0.5, 0]], np.float32))


def test_bounded_floats_are_clipped_element_by_element():
    given = np.array([[0.5, 2.0], [-3.0, -0.1]], np.float32)
    got = ActionReader(CONTINUOUS, 2).read(given, GOING)
    np.testing.assert_array_equal(got, np.array([[0.5, 2.0], [-1.0, 0.0]], np.float32))
    np.testing.assert_array_equal(given, np.array([[0.5, 2.0], [-3.0, -0.1]], np.float32))
    got = ActionReader(NESTED, 2).read({"gear": np.array([0, 1]), "wheel": given}, GOING)
    np.testing.assert_array_equal(got["wheel"], np.array([[0.5, 2.0], [-1.0, 0.0]], np.float32))


def test_the_array_given_is_copied():
    action = np.zeros((2, 2), np.float32)
    ActionReader(CONTINUOUS, 2).read(action, GOING)[:] = 1
    assert (action == 0).all()


def test_a_float32_bound_never_exceeds_the_float64_bound_that_it_came_from():
    """float32(0.1) is 0.10000000149, above 0.1."""
    declared = specs.BoundedTensorSpec((), np.float64, -0.1, 0.1)
    narrow = specs.BoundedTensorSpec((), np.float32, -0.1, 0.1)
    got = ActionReader(narrow, 2, declared).read(np.array([-0.1, 0.1], np.float32), GOING)
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, [-0.1, 0.1])
