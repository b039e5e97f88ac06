"""Metrics of a stream of frames: returns, lengths, steps, episodes and chosen actions."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.trajectories import StepType, Trajectory


class EpisodeMetricsState(NamedTuple):
    """What is counted.

    Attributes:
      episode_return: `[B]` float32, of the episode under way.
      episode_length: `[B]` int32, actions taken in it.
      env_steps: `[]` int32, actions taken since `init`; boundary frames do not count.
      episodes: `[]` int32, episodes ended since the last `clear`.
      return_sum, return_squares, length_sum: `[]` float32, over those episodes.
      action_counts: `[A]` int32, actions taken since the last `clear`; `[0]` if not asked for.
    """

    episode_return: Any
    episode_length: Any
    env_steps: Any
    episodes: Any
    return_sum: Any
    return_squares: Any
    length_sum: Any
    action_counts: Any


class EpisodeSummary(NamedTuple):
    """The statistics of the episodes ended since the last `clear`; NaN if none did.

    Attributes:
      episodes: how many.
      mean_return, std_return: of their undiscounted returns.
      mean_length: actions in an episode.
      env_steps: actions taken since `init`.
      action_frequencies: `[A]`, shares of the actions taken.
    """

    episodes: int
    mean_return: float
    std_return: float
    mean_length: float
    env_steps: int
    action_frequencies: np.ndarray


@dataclasses.dataclass(frozen=True)
class EpisodeMetrics:
    """Counts what happens in `num_envs` environments that step together.

    Args:
      num_envs: B.
      num_actions: A, to count how often each action `0..A-1` was taken; 0 does not.

    >>> metrics = EpisodeMetrics(num_envs=1)
    >>> state = metrics.init()
    >>> one = lambda step, following, reward: Trajectory(
    ...     jnp.array([step]), (), (), (), jnp.array([following]), jnp.array([reward]), jnp.ones(1))
    >>> for frame in (one(0, 1, 2.0), one(1, 2, 3.0), one(2, 0, 0.0)):  # FIRST, MID, then the boundary frame
    ...     state = metrics.update(state, frame)
    >>> metrics.compute(state).mean_return, metrics.compute(state).mean_length, metrics.compute(state).env_steps
    (5.0, 2.0, 2)
    """

    num_envs: int
    num_actions: int = 0

    def init(self) -> EpisodeMetricsState:
        """Returns the state before the first frame."""
        zero, none = jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32)
        return EpisodeMetricsState(
            episode_return=jnp.zeros(self.num_envs, jnp.float32),
            episode_length=jnp.zeros(self.num_envs, jnp.int32),
            env_steps=none,
            episodes=none,
            return_sum=zero,
            return_squares=zero,
            length_sum=zero,
            action_counts=jnp.zeros(self.num_actions, jnp.int32),
        )

    def update(self, state: EpisodeMetricsState, frame: Trajectory) -> EpisodeMetricsState:
        """Returns the state after one frame `[B, ...]`; pure."""
        real = frame.step_type != StepType.LAST
        opens = frame.step_type == StepType.FIRST
        ends = real & (frame.next_step_type == StepType.LAST)
        episode_return = jnp.where(opens, 0.0, state.episode_return) + jnp.where(real, frame.reward, 0.0)
        episode_length = jnp.where(opens, 0, state.episode_length) + real
        ended_return = jnp.where(ends, episode_return, 0.0)
        counts = state.action_counts
        if self.num_actions:
            chosen = (frame.action[:, None] == jnp.arange(self.num_actions)) & real[:, None]
            counts = counts + jnp.sum(chosen, axis=0, dtype=jnp.int32)
        return EpisodeMetricsState(
            episode_return=episode_return,
            episode_length=episode_length.astype(jnp.int32),
            env_steps=state.env_steps + jnp.sum(real, dtype=jnp.int32),
            episodes=state.episodes + jnp.sum(ends, dtype=jnp.int32),
            return_sum=state.return_sum + jnp.sum(ended_return),
            return_squares=state.return_squares + jnp.sum(ended_return**2),
            length_sum=state.length_sum + jnp.sum(jnp.where(ends, episode_length, 0).astype(jnp.float32)),
            action_counts=counts,
        )

    def clear(self, state: EpisodeMetricsState) -> EpisodeMetricsState:
        """Returns the state with the episodes ended so far forgotten; those under way, and `env_steps`, stay; pure."""
        fresh = self.init()
        return fresh._replace(
            episode_return=state.episode_return, episode_length=state.episode_length, env_steps=state.env_steps
        )

    def compute(self, state: EpisodeMetricsState) -> EpisodeSummary:
        """Returns the statistics on the host, over all members of a population; waits for the device."""
        host: EpisodeMetricsState = jax.tree.map(np.asarray, jax.device_get(state))
        episodes = int(host.episodes.sum())
        if episodes:
            mean = float(host.return_sum.sum()) / episodes
            variance = float(host.return_squares.sum()) / episodes - mean**2
            length = float(host.length_sum.sum()) / episodes
        else:
            mean = variance = length = float("nan")
        counts = host.action_counts.sum(axis=0) if host.action_counts.ndim == 2 else host.action_counts
        return EpisodeSummary(
            episodes=episodes,
            mean_return=mean,
            std_return=float(np.sqrt(variance if variance > 0 or variance != variance else 0.0)),
            mean_length=length,
            env_steps=int(host.env_steps.mean()),
            action_frequencies=counts / max(int(counts.sum()), 1),
        )
