"""Contextual bandits as pure environments: every episode is one decision."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.environments._base import JaxEnvironment
from jaxdaw.trajectories import StepType, TimeStep


class BanditRound(NamedTuple):
    """One decision, and the parts of it that the policy does not observe.

    Attributes:
      observation: a nest, the context.
      rewards: `[A]` float32, what each action would earn in this very round.
      expected_rewards: `[A]` float32, what each earns on average in this context: regret is measured with these.
    """

    observation: Any
    rewards: jax.Array
    expected_rewards: jax.Array

    @property
    def optimal_action(self) -> jax.Array:
        """`[]` int32, the best on average; ties go to the lowest."""
        return jnp.argmax(self.expected_rewards, axis=-1).astype(jnp.int32)

    @property
    def optimal_reward(self) -> jax.Array:
        """`[]` float32, what the best action earns on average."""
        return jnp.max(self.expected_rewards, axis=-1)


class BanditState(NamedTuple):
    """The state of a BanditEnvironment.

    Attributes:
      problem: what `draw_problem` returned.
      words: `[2]` uint32, the key of all rounds.
      time: `[]` int32, the round, counted from 0.
      round: the round under way.
      ended: `[]` bool, whether the last step was LAST.
    """

    problem: Any
    words: jax.Array
    time: jax.Array
    round: BanditRound
    ended: jax.Array


class BanditEnvironment(JaxEnvironment):
    """A pure environment of rounds: a context, one action, its reward, and the episode has terminated.

    A subclass says how many actions there are and how a round is drawn:

    ```python
    @dataclasses.dataclass(frozen=True)
    class Coins(BanditEnvironment):
        num_actions: int = 2

        observation_spec = property(lambda self: specs.TensorSpec((1,), np.float32))

        def draw_round(self, problem, time, key):
            chances = jnp.array([0.4, 0.6])
            rewards = (jax.random.uniform(key, (2,)) < chances).astype(jnp.float32)
            return BanditRound(jnp.ones(1), rewards, chances)
    ```

    Loops for bandits draw many rounds at once with `draw_rounds`; through `init` and `step` a bandit is an environment
    like any other, whose LAST step shows the same context again.
    """

    num_actions: int

    @abc.abstractmethod
    def draw_round(self, problem: Any, time: Any, key: jax.Array) -> BanditRound:
        """Returns a round; pure.

        Args:
          problem: from `draw_problem`.
          time: `[]` int32, the round's number from 0: for problems that drift, and tables that are read in order.
          key: consumed.
        """

    def draw_problem(self, key: jax.Array) -> Any:
        """Returns what stays the same for a whole run, such as the weights of the arms; pure. Nothing, by default."""
        del key
        return ()

    def draw_rounds(self, problem: Any, key: jax.Array, start: Any, count: int) -> BanditRound:
        """Returns the rounds `start` to `start + count - 1` of a run, leading axis `count`; pure.

        Args:
          problem: from `draw_problem`.
          key: of the run: the same key gives the same rounds, however they are cut into calls.
          start: `[]` int32.
          count: rounds.
        """
        times = jnp.asarray(start, jnp.int32) + jnp.arange(count, dtype=jnp.int32)
        keys = jax.vmap(lambda time: jax.random.fold_in(key, time))(times)
        return jax.vmap(lambda time, k: self.draw_round(problem, time, k))(times, keys)

    @property
    def action_spec(self) -> specs.BoundedTensorSpec:
        """int32, `0..num_actions - 1`."""
        return specs.BoundedTensorSpec((), np.int32, 0, self.num_actions - 1, "action")

    def init(self, key: jax.Array) -> tuple[BanditState, TimeStep]:
        """Returns the first state and the FIRST step; see `JaxEnvironment.init`."""
        key_problem, key_rounds = jax.random.split(key)
        problem, words = self.draw_problem(key_problem), jax.random.bits(key_rounds, (2,), jnp.uint32)
        time = jnp.zeros((), jnp.int32)
        first = self._round(problem, words, time)
        state = BanditState(problem, words, time, first, jnp.zeros((), bool))
        return state, _time_step(StepType.FIRST, 0.0, first.observation)

    def step(self, state: BanditState, action: Any) -> tuple[BanditState, TimeStep]:
        """Returns the next state and step; see `JaxEnvironment.step`."""
        starts = state.ended
        time = state.time + starts
        fresh = self._round(state.problem, state.words, time)
        current = jax.tree.map(lambda new, old: jnp.where(starts, new, old), fresh, state.round)
        reward = jnp.where(starts, 0.0, state.round.rewards[jnp.asarray(action, jnp.int32)])
        kind = jnp.where(starts, StepType.FIRST, StepType.LAST)
        return BanditState(state.problem, state.words, time, current, ~starts), _time_step(
            kind, reward, current.observation
        )

    def _round(self, problem: Any, words: jax.Array, time: jax.Array) -> BanditRound:
        key = jax.random.fold_in(jax.random.wrap_key_data(words, impl="threefry2x32"), time)
        return self.draw_round(problem, time, key)


def _time_step(kind: Any, reward: Any, observation: Any) -> TimeStep:
    step_type = jnp.asarray(kind, jnp.int32)
    discount = jnp.where(step_type == StepType.LAST, 0.0, 1.0).astype(jnp.float32)
    return TimeStep(step_type, jnp.asarray(reward, jnp.float32), discount, observation)
