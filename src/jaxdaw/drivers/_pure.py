"""Rollout: a policy in a pure environment as one scan."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax

from jaxdaw.environments import JaxEnvironment
from jaxdaw.policies import Policy
from jaxdaw.trajectories import TimeStep, Trajectory, from_transition


class RolloutState(NamedTuple):
    """Where a rollout stands: leaves are `[B, ...]`.

    Attributes:
      environment: the environments' states.
      time_step: what they said last.
      policy: the policy's memory.
    """

    environment: Any
    time_step: TimeStep
    policy: Any


@dataclasses.dataclass(frozen=True)
class Rollout:
    """Steps `num_envs` copies of a pure environment; pure itself, so it can be jitted, vmapped and scanned.

    >>> from jaxdaw import environments, policies
    >>> environment = environments.Catch()
    >>> policy = policies.RandomPolicy(environment.time_step_spec(), environment.action_spec)
    >>> rollout = Rollout(environment, policy, num_envs=3)
    >>> state = rollout.init(jax.random.key(0))
    >>> state, frames = rollout.run(policy.get_weights(), state, jax.random.key(1), num_steps=5)
    >>> frames.reward.shape
    (3, 5)
    """

    environment: JaxEnvironment
    policy: Policy
    num_envs: int = 1

    def init(self, key: jax.Array) -> RolloutState:
        """Returns the state at the first step of an episode in every environment."""
        environment, time_step = jax.vmap(self.environment.init)(jax.random.split(key, self.num_envs))
        return RolloutState(environment, time_step, self.policy.initial_state(self.num_envs))

    def step(self, weights: Any, state: RolloutState, randomness: Any) -> tuple[RolloutState, Trajectory]:
        """Returns the state after one action in every environment, and the frame `[B, ...]` that records it."""
        choice = self.policy.act(weights, state.time_step, state.policy, randomness)
        environment, following = jax.vmap(self.environment.clipped_step)(state.environment, choice.action)
        frame = from_transition(state.time_step, choice, following)
        return RolloutState(environment, following, choice.state), frame

    def run(self, weights: Any, state: RolloutState, key: jax.Array, num_steps: int) -> tuple[RolloutState, Trajectory]:
        """Returns the state after `num_steps` actions, and their frames `[B, num_steps, ...]`.

        Args:
          weights: the policy's, from `get_weights`.
          state: from `init` or the run before.
          key: consumed; the randomness of all steps is drawn at once.
          num_steps: actions in each environment, boundary frames included.
        """
        randomness = self.policy.draw(key, num_steps, self.num_envs)
        state, frames = jax.lax.scan(lambda s, r: self.step(weights, s, r), state, randomness)
        return state, jax.tree.map(lambda x: x.swapaxes(0, 1), frames)
