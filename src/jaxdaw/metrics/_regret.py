"""Regret of a bandit's decisions, and the regret of random, of the best single arm and of greedy decisions."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class RegretState(NamedTuple):
    """Sums over decisions; states of consecutive stretches add up, leaf by leaf.

    Attributes:
      rounds: `[]` int32, decisions.
      reward, reward_squares: `[]` float32, of what was earned.
      regret: `[]` float32, the best action's expected reward less the taken one's.
      greedy_regret: `[]` float32, the same for the action that the model held best at that moment.
      uniform_regret: `[]` float32, the same for an action drawn at random.
      arm_regrets: `[A]` float32, the same for each action, had it always been taken.
      suboptimal: `[]` int32, decisions for an action that is not the best in its context.
      explored: `[]` int32, decisions for another action than the one that the model held best.
      arm_counts: `[A]` int32, how often each action was taken.
    """

    rounds: Any
    reward: Any
    reward_squares: Any
    regret: Any
    greedy_regret: Any
    uniform_regret: Any
    arm_regrets: Any
    suboptimal: Any
    explored: Any
    arm_counts: Any


class RegretSummary(NamedTuple):
    """What the decisions were worth.

    Attributes:
      rounds: decisions.
      mean_reward: of a decision.
      reward_interval: `(low, high)`, 95 % for the mean reward, by the normal approximation.
      regret: cumulative, in units of reward.
      relative_regret: percent of what uniformly random decisions would have lost on average; NaN if that is 0.
      greedy_regret: cumulative, had the model's best action been taken each time: without the price of exploring.
      constant_regret: cumulative, of the best single action in hindsight.
      uniform_regret: cumulative, of uniformly random decisions.
      suboptimal_share: of decisions for an action that was not the best.
      exploration_share: of decisions for another action than the one that the model held best.
      arm_shares: `[A]`, of each action.
    """

    rounds: int
    mean_reward: float
    reward_interval: tuple[float, float]
    regret: float
    relative_regret: float
    greedy_regret: float
    constant_regret: float
    uniform_regret: float
    suboptimal_share: float
    exploration_share: float
    arm_shares: np.ndarray


@dataclasses.dataclass(frozen=True)
class RegretMetrics:
    """Measures decisions whose every outcome is known, as it is in simulations.

    Args:
      num_actions: A.

    >>> metrics = RegretMetrics(num_actions=2)
    >>> expected = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    >>> state = metrics.update(metrics.init(), expected, jnp.array([0, 0, 1]), jnp.array([1.0, 0.0, 0.0]), jnp.zeros(3))
    >>> summary = metrics.compute(state)
    >>> summary.regret, summary.greedy_regret, summary.constant_regret, summary.uniform_regret
    (2.0, 1.0, 1.0, 1.5)
    """

    num_actions: int

    def init(self) -> RegretState:
        """Returns the state before the first decision."""
        zero, none = jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32)
        return RegretState(
            rounds=none,
            reward=zero,
            reward_squares=zero,
            regret=zero,
            greedy_regret=zero,
            uniform_regret=zero,
            arm_regrets=jnp.zeros(self.num_actions, jnp.float32),
            suboptimal=none,
            explored=none,
            arm_counts=jnp.zeros(self.num_actions, jnp.int32),
        )

    def update(self, state: RegretState, expected_rewards: Any, action: Any, reward: Any, greedy: Any) -> RegretState:
        """Returns the state after some decisions; pure.

        Args:
          state: from `init` or the update before.
          expected_rewards: `[B, A]`, what each action earns on average in the context.
          action: `[B]` integers, taken.
          reward: `[B]`, earned.
          greedy: `[B]` integers, what the model held best.
        """
        losses = jnp.max(expected_rewards, axis=1, keepdims=True) - expected_rewards
        arms = jnp.arange(self.num_actions)
        taken, best = action[:, None] == arms, greedy[:, None] == arms
        lost = jnp.sum(jnp.where(taken, losses, 0.0), axis=1)
        return RegretState(
            rounds=state.rounds + len(losses),
            reward=state.reward + jnp.sum(reward),
            reward_squares=state.reward_squares + jnp.sum(reward**2),
            regret=state.regret + jnp.sum(lost),
            greedy_regret=state.greedy_regret + jnp.sum(jnp.where(best, losses, 0.0)),
            uniform_regret=state.uniform_regret + jnp.sum(jnp.mean(losses, axis=1)),
            arm_regrets=state.arm_regrets + jnp.sum(losses, axis=0),
            suboptimal=state.suboptimal + jnp.sum(lost > 0.0, dtype=jnp.int32),
            explored=state.explored + jnp.sum(action != greedy, dtype=jnp.int32),
            arm_counts=state.arm_counts + jnp.sum(taken, axis=0, dtype=jnp.int32),
        )

    def compute(self, state: RegretState) -> RegretSummary:
        """Returns the summary of one run on the host; waits for the device."""
        host: RegretState = jax.tree.map(lambda x: np.asarray(x, np.float64), jax.device_get(state))
        rounds = float(host.rounds)
        share = (lambda x: float(x) / rounds) if rounds else (lambda x: math.nan)
        mean = share(host.reward)
        spread = 1.96 * math.sqrt(max(share(host.reward_squares) - mean**2, 0.0) / rounds) if rounds else math.nan
        uniform = float(host.uniform_regret)
        return RegretSummary(
            rounds=int(rounds),
            mean_reward=mean,
            reward_interval=(mean - spread, mean + spread),
            regret=float(host.regret),
            relative_regret=100.0 * float(host.regret) / uniform if uniform else math.nan,
            greedy_regret=float(host.greedy_regret),
            constant_regret=float(host.arm_regrets.min()),
            uniform_regret=uniform,
            suboptimal_share=share(host.suboptimal),
            exploration_share=share(host.explored),
            arm_shares=host.arm_counts / max(rounds, 1.0),
        )
