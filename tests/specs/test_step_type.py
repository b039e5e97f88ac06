"""StepType: three values, which behave as integers in NumPy and JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.errors import SpecError
from jaxdaw.specs import StepType


def test_step_type_values():
    assert [int(step_type) for step_type in StepType] == [0, 1, 2]
    assert list(StepType) == [StepType.FIRST, StepType.MID, StepType.LAST]


def test_step_type_refuses_other_values():
    with pytest.raises(SpecError, match=r"not a step type\n  expected  0 \(FIRST\), 1 \(MID\) or 2 \(LAST\) .* got  7"):
        StepType(7)


def test_step_type_compares_with_arrays_without_changing_their_dtype():
    stream = np.array([0, 1, 2], np.int32)
    np.testing.assert_array_equal(stream == StepType.LAST, [False, False, True])
    np.testing.assert_array_equal(jax.jit(lambda x: x == StepType.LAST)(stream), [False, False, True])
    assert jnp.where(jnp.asarray(stream) == StepType.LAST, StepType.FIRST, jnp.asarray(stream)).dtype == np.int32
