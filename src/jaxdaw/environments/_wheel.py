"""Wheel: a bandit whose best reward lies in a thin outer region (Riquelme et al. 2018)."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.environments._bandit import BanditEnvironment, BanditRound
from jaxdaw.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Wheel(BanditEnvironment):
    """Five actions on the unit disc: 0 is safe; on the rim one of the others, by quadrant, earns far more.

    ```text
    radius of the context      action 0    the quadrant's action    the other three
    delta or less              safe        base                     base
    above delta                safe        high                     base
    ```

    The quadrants of actions 1 to 4 are (+, +), (+, -), (-, +), (-, -). A share `1 - delta**2` of the contexts lies on
    the rim. Observation: float32 `[2]`, uniform on the disc.

    Args:
      delta: radius of the inner disc, in `(0, 1)`.
      safe, base, high: mean rewards, the paper's mu_1, mu_2 and mu_3.
      noise: standard deviation of every reward.

    Source: Riquelme, Tucker & Snoek 2018, "Deep Bayesian bandits showdown", section 5.4.

    >>> Wheel(delta=0.95).draw_rounds((), jax.random.key(0), 0, 3).rewards.shape
    (3, 5)
    """

    delta: float = 0.95
    safe: float = 1.2
    base: float = 1.0
    high: float = 50.0
    noise: float = 0.01
    num_actions: int = dataclasses.field(default=5, init=False)

    def __post_init__(self):
        if not 0.0 < self.delta < 1.0:
            raise ConfigError("delta is outside its range", expected="(0, 1)", got=str(self.delta))

    @property
    def observation_spec(self) -> specs.BoundedTensorSpec:
        """float32 `[2]`, in `[-1, 1]`."""
        return specs.BoundedTensorSpec((2,), np.float32, -1, 1, "observation")

    def expected_rewards(self, context: jax.Array) -> jax.Array:
        """Returns the mean rewards `[5]` in a context `[2]`; pure."""
        quadrant = 1 + 2 * (context[0] <= 0).astype(jnp.int32) + (context[1] <= 0).astype(jnp.int32)
        on_rim = jnp.sum(context**2) > self.delta**2
        action = jnp.arange(5)
        means = jnp.where(action == 0, self.safe, self.base)
        return jnp.where(on_rim & (action == quadrant), self.high, means).astype(jnp.float32)

    def draw_round(self, problem: Any, time: Any, key: jax.Array) -> BanditRound:
        """Returns a round at a uniform place of the disc."""
        del problem, time
        key_place, key_noise = jax.random.split(key)
        area, turn = jax.random.uniform(key_place, (2,))
        angle = 2.0 * jnp.pi * turn
        context = jnp.sqrt(area) * jnp.stack([jnp.cos(angle), jnp.sin(angle)])  # the area within r grows as r**2
        expected = self.expected_rewards(context)
        return BanditRound(context, expected + self.noise * jax.random.normal(key_noise, (5,)), expected)
