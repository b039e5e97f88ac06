"""Conversion of recorded frames `[B, T]` to the transitions that agents learn from."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import math, specs
from jaxdaw.errors import SpecError
from jaxdaw.trajectories._masks import episode_ends
from jaxdaw.trajectories._namespace import namespace_of
from jaxdaw.trajectories._records import PolicyStep, TimeStep, Trajectory, Transition


def _require_rank(trajectory: Trajectory, ranks: tuple[int, ...], function: str) -> None:
    rank = np.ndim(trajectory.discount)
    if rank not in ranks:
        raise SpecError(
            f"{function} needs frames with {' or '.join(str(r) for r in ranks)} outer axes",
            expected="discount [B, T]" if 2 in ranks else "discount [T]",
            got=f"discount {np.shape(trajectory.discount)}",
            cause="a batch without a time axis, or a time axis without a batch.",
            fix="jax.tree.map(lambda x: x[None], trajectory)",
        )


def _require_frames(trajectory: Trajectory, function: str) -> None:
    frames = np.shape(trajectory.discount)[-1]
    if frames < 2:
        raise SpecError(
            f"{function} needs at least two frames: the second holds the observation that the first led to",
            expected="T >= 2",
            got=f"T = {frames}",
            fix="replay.sample(state, key, batch_size, num_steps=2)",
        )


def to_transition(trajectory: Trajectory, next_trajectory: Trajectory | None = None) -> Transition:
    """Returns the one-step transitions of a stream.

    Args:
      trajectory: `[B, T]` or `[T]` frames, T at least 2; or frames of any shape `[...]` with `next_trajectory`.
      next_trajectory: the frames that follow, of the same shape; then no frame is dropped.

    Returns:
      A Transition of `[B, T-1]`, or of the given shape. The reward and discount of `time_step` are zero: they belong to
      the frame before.

    Raises:
      SpecError: rank not 1 or 2, or fewer than two frames.
    """
    _require_rank(trajectory, (1, 2), "to_transition")
    if next_trajectory is None:
        _require_frames(trajectory, "to_transition")
        axis = np.ndim(trajectory.discount) - 1
        before, after = (slice(None),) * axis + (slice(None, -1),), (slice(None),) * axis + (slice(1, None),)
        following = specs.map_structure(lambda x: x[after], trajectory.observation)
        trajectory = specs.map_structure(lambda x: x[before], trajectory)
    else:
        following = next_trajectory.observation
    xp = namespace_of(trajectory.discount)
    return Transition(
        time_step=TimeStep(
            step_type=trajectory.step_type,
            reward=xp.zeros_like(trajectory.reward),
            discount=xp.zeros_like(trajectory.discount),
            observation=trajectory.observation,
        ),
        action_step=PolicyStep(action=trajectory.action, state=(), info=trajectory.policy_info),
        next_time_step=TimeStep(
            step_type=trajectory.next_step_type,
            reward=trajectory.reward,
            discount=trajectory.discount,
            observation=following,
        ),
    )


def to_n_step_transition(trajectory: Trajectory, gamma: float) -> Transition:
    """Returns for each row the transition over its first `n = T - 1` steps, cut where its episode ended.

    With `m <= n` the number of steps until the first LAST, `next_time_step` holds the observation and step type of
    frame
    `m`, the discounted sum of `m` rewards, and the discount `gamma^(m-1) d_0..d_{m-1}` (one gamma is the learner's).
    The reward and discount of `time_step` are NaN: unknown.

    Args:
      trajectory: `[B, T]` frames, T at least 2.
      gamma: in `[0, 1]`.

    Raises:
      SpecError: not `[B, T]`, or fewer than two frames.

    Differs from TF-Agents, whose window runs across a truncation into the next episode.
    """
    _require_rank(trajectory, (2,), "to_n_step_transition")
    _require_frames(trajectory, "to_n_step_transition")
    n = np.shape(trajectory.discount)[1] - 1
    ends = episode_ends(trajectory)[:, :n]
    reward, discount = jnp.asarray(trajectory.reward)[:, :n], jnp.asarray(trajectory.discount)[:, :n]
    if n == 1:  # the most common case: nothing to sum
        window = math.NStepReturn(reward[:, 0], discount[:, 0], jnp.ones(len(reward), jnp.int32))
    else:
        window = jax.vmap(math.n_step_return, in_axes=(0, 0, 0, None))(reward, discount, ends, gamma)

    def at_end(leaf: Any) -> jax.Array:
        leaf = jnp.asarray(leaf)
        if n == 1:
            return leaf[:, 1]
        index = window.steps.reshape((-1, 1) + (1,) * (leaf.ndim - 2))
        return jnp.take_along_axis(leaf, index, axis=1)[:, 0]

    opening = specs.map_structure(lambda x: jnp.asarray(x)[:, 0], trajectory)
    unknown = jnp.full_like(window.reward, jnp.nan)
    return jax.lax.stop_gradient(
        Transition(
            time_step=TimeStep(
                step_type=opening.step_type, reward=unknown, discount=unknown, observation=opening.observation
            ),
            action_step=PolicyStep(action=opening.action, state=(), info=opening.policy_info),
            next_time_step=TimeStep(
                step_type=at_end(trajectory.step_type),
                reward=window.reward,
                discount=window.discount,
                observation=specs.map_structure(at_end, trajectory.observation),
            ),
        )
    )


def experience_to_transitions(experience: Trajectory, squeeze_time_dim: bool = False) -> Transition:
    """Returns `to_transition(experience)`, without its time axis if `squeeze_time_dim` (T must then be 2)."""
    transitions = to_transition(experience)
    if not squeeze_time_dim:
        return transitions
    frames = np.shape(experience.discount)[1]
    if frames != 2:
        raise SpecError(
            "the time axis can be dropped only from single transitions", expected="T = 2", got=f"T = {frames}"
        )
    return specs.map_structure(lambda x: x[:, 0], transitions)
