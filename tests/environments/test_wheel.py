"""The wheel against its definition, written out in NumPy."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from jaxdaw.environments import Wheel
from jaxdaw.errors import ConfigError

ROUNDS = 20_000


def means(x: float, y: float, delta: float) -> list[float]:
    """Riquelme et al. 2018, section 5.4: mu_1 = 1.2, mu_2 = 1.0, mu_3 = 50."""
    found = [1.2, 1.0, 1.0, 1.0, 1.0]
    if np.hypot(x, y) > delta:
        found[{(True, True): 1, (True, False): 2, (False, True): 3, (False, False): 4}[x > 0, y > 0]] = 50.0
    return found


@pytest.mark.parametrize("delta", [0.5, 0.95])
def test_rewards_are_those_of_the_paper(delta: float):
    rounds = jax.device_get(Wheel(delta=delta).draw_rounds((), jax.random.key(0), 0, ROUNDS))
    expected = np.array([means(x, y, delta) for x, y in rounds.observation])
    np.testing.assert_allclose(rounds.expected_rewards, expected, rtol=1e-6)
    noise = rounds.rewards - rounds.expected_rewards
    assert abs(noise.std() - 0.01) < 2e-4  # of 100,000 values: standard error 0.01 / sqrt(200,000) = 2.2e-5
    assert abs(noise.mean()) < 5 * 0.01 / np.sqrt(noise.size)


def test_contexts_are_uniform_on_the_disc():
    """The square of the radius and the angle are uniform: each tenth holds 2,000, standard deviation 42."""
    x, y = np.asarray(Wheel().draw_rounds((), jax.random.key(1), 0, ROUNDS).observation).T
    for values in (x**2 + y**2, np.arctan2(y, x) / (2 * np.pi) + 0.5):
        counts = np.histogram(values, bins=10, range=(0, 1))[0]
        assert np.abs(counts - 2_000).max() < 5 * 42


def test_a_share_of_one_less_delta_squared_lies_on_the_rim():
    rounds = Wheel(delta=0.95).draw_rounds((), jax.random.key(2), 0, ROUNDS)
    share = float(np.mean(np.asarray(rounds.optimal_reward) == 50.0))
    assert abs(share - (1 - 0.95**2)) < 5 * np.sqrt(0.0975 * 0.9025 / ROUNDS)


def test_delta_has_a_range():
    with pytest.raises(ConfigError, match="delta is outside its range"):
        Wheel(delta=1.0)
