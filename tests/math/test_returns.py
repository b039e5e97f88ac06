"""n-step windows, returns and advantages against float64 brute force over random streams with both endings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import math


def streams(seed, rows, length, rate=0.2):
    """Random rewards, and endings of both kinds: `ends` with discount 0 (terminated) or 1 (cut)."""
    random = np.random.default_rng(seed)
    ends = random.random((rows, length)) < rate
    terminated = ends & (random.random((rows, length)) < 0.5)
    return random.normal(size=(rows, length)).astype(np.float32), 1.0 - terminated.astype(np.float32), ends


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
def test_n_step_return_equals_brute_force_over_ten_thousand_streams(n):
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


@pytest.mark.parametrize("length", [1, 5, 40])
def test_discounted_returns_and_advantages_equal_brute_force(length):
    reward, discount, ends = streams(length, 300, length)
    random = np.random.default_rng(1)
    value_tm1, value_t = random.normal(size=(2, 300, length)).astype(np.float32)
    gamma, td_lambda = 0.95, 0.8
    returns = jax.vmap(math.discounted_returns)(reward, gamma * discount, value_t, ends)
    advantages = jax.vmap(math.generalized_advantages, in_axes=(0, 0, 0, 0, None, 0))(
        reward, gamma * discount, value_tm1, value_t, td_lambda, ends
    )
    for b in range(300):
        following, advantage = float(value_t[b, -1]), 0.0
        for k in reversed(range(length)):
            following = reward[b, k] + gamma * discount[b, k] * (value_t[b, k] if ends[b, k] else following)
            delta = reward[b, k] + gamma * discount[b, k] * value_t[b, k] - value_tm1[b, k]
            advantage = delta + (0.0 if ends[b, k] else gamma * discount[b, k] * td_lambda * advantage)
            np.testing.assert_allclose(returns[b, k], following, atol=2e-5)
            np.testing.assert_allclose(advantages[b, k], advantage, atol=2e-5)
