"""n-step windows against float64 brute force over random streams with both endings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import math


def brute_force(reward, discount, ends, gamma):
    total, factor = 0.0, 1.0
    for k in range(len(reward)):
        total += factor * float(reward[k])
        bootstrap = factor * float(discount[k])
        if ends[k]:
            return total, bootstrap, k + 1
        factor *= gamma * float(discount[k])
    return total, bootstrap, len(reward)


@pytest.mark.parametrize("n", range(1, 11))
def test_n_step_return_equals_brute_force_over_ten_thousand_streams(n, streams):
    reward, discount, ends = streams(n, 10_000, n)
    gamma = np.float32(0.97)
    got = jax.jit(jax.vmap(math.n_step_return, in_axes=(0, 0, 0, None)))(reward, discount, ends, gamma)
    want = np.array([brute_force(r, d, e, float(gamma)) for r, d, e in zip(reward, discount, ends, strict=True)])
    np.testing.assert_allclose(got.reward, want[:, 0], atol=1e-5)
    np.testing.assert_allclose(got.discount, want[:, 1], atol=1e-5)
    np.testing.assert_array_equal(got.steps, want[:, 2])


def test_n_step_return_ignores_nan_after_the_end():
    got = math.n_step_return(jnp.array([1.0, jnp.nan]), jnp.array([0.0, jnp.nan]), jnp.array([True, False]), 0.9)
    assert (float(got.reward), float(got.discount), int(got.steps)) == (1.0, 0.0, 1)
