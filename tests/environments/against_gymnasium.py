"""Steps a pure environment and Gymnasium's from the same states."""

from __future__ import annotations

from typing import Any

import gymnasium
import jax
import numpy as np

from jaxdaw.environments import EpisodicEnvironment


def compare_steps(environment: EpisodicEnvironment, gymnasium_id: str, states: np.ndarray, actions: np.ndarray) -> int:
    """Asserts that states, rewards and terminations equal those of Gymnasium's environment; returns the terminations.

    Gymnasium computes in float64 from the same float32 state; the observation is compared, which wraps angles. A
    termination may differ where the state is within rounding of the limit, which at most 1 in 1,000 are.
    """
    worlds, rewards, terminated = jax.jit(jax.vmap(environment.advance))(states, actions)
    observations = np.asarray(jax.jit(jax.vmap(environment.observe))(worlds))
    oracle: Any = gymnasium.make(gymnasium_id).unwrapped
    oracle.reset(seed=0)
    rewards, terminated = np.broadcast_to(rewards, len(states)), np.broadcast_to(terminated, len(states))
    differing = 0
    for index, (state, action) in enumerate(zip(states, actions, strict=True)):
        oracle.state = state.astype(np.float64)
        expected, reward, theirs, _, _ = oracle.step(action)
        np.testing.assert_allclose(observations[index], expected, rtol=5e-6, atol=5e-6)
        if theirs == terminated[index]:
            np.testing.assert_allclose(rewards[index], reward, rtol=5e-6, atol=5e-6)
        else:
            differing += 1
    assert differing <= len(states) // 1000
    return int(terminated.sum())
