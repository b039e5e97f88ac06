"""What leaves a policy is in the dtype that its spec declares."""

import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.policies import as_declared


def test_floats_take_the_dtype_of_their_spec_and_integers_keep_theirs():
    narrow, integer = specs.TensorSpec((2,), np.float16), specs.BoundedTensorSpec((), np.int64, 0, 3)
    assert as_declared(jnp.zeros(2), narrow).dtype == np.float16
    assert as_declared(jnp.zeros((), jnp.int32), integer).dtype == np.int32
