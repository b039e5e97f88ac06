"""Returns and advantages against float64 brute force over random streams with both endings."""

import jax
import numpy as np
import pytest

from jaxdaw import math


@pytest.mark.parametrize("length", [1, 5, 40])
def test_discounted_returns_and_advantages_equal_brute_force(length, streams):
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
