"""Learning a bandit online as pure functions: decide, earn, remember, learn; a whole stretch of rounds is one scan."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdaw import specs
from jaxdaw.agents import AgentState, GreedyRewardPredictionAgent
from jaxdaw.environments import BanditEnvironment
from jaxdaw.metrics import RegretMetrics, RegretState
from jaxdaw.training._reward_units import RewardUnits
from jaxdaw.trajectories import StepType, TimeStep, Trajectory


class OnlineState(NamedTuple):
    """Everything that a run changes on the device.

    Attributes:
      agent: weights, optimizer, counters; it learns rewards divided by `scale`.
      memory: what was decided, leaves `[capacity, ...]`, one row a decision.
      time: `[]` int32, rounds so far.
      reward_squares: `[]` float32, the sum of the squares of all rewards.
      least_scale: `[]` float32, what `scale` does not fall below; 1, unless the run goes on where another one ended.
      refused: `[]` int32, gradient steps that were refused because they were not finite.
      problem: the bandit's, drawn once.
      key_rounds, key_run: of the bandit's rounds, and of what the agent draws.
    """

    agent: AgentState
    memory: Trajectory
    time: jax.Array
    reward_squares: jax.Array
    least_scale: jax.Array
    refused: jax.Array
    problem: Any
    key_rounds: jax.Array
    key_run: jax.Array

    @property
    def scale(self) -> jax.Array:
        """`[]` float32: the root mean square of the rewards so far, and at least `least_scale`."""
        mean = self.reward_squares / jnp.maximum(self.time.astype(jnp.float32), 1.0)
        return jnp.maximum(jnp.sqrt(mean), self.least_scale)


@dataclasses.dataclass(frozen=True, eq=False)
class BanditLoop:
    """One agent that learns one bandit; pure, so that seeds are one `vmap`.

    Args:
      agent: of bandits; decisions of a phase share its weights.
      environment: the bandit.
      capacity: decisions remembered, the latest; a multiple of the decisions of every phase.
      batch_size: decisions in a gradient step.
      replays: False learns from the decisions of a phase once, as exact models do; nothing else is then remembered.
      scales: whether the agent learns rewards divided by `OnlineState.scale`: its model is a QNetwork.
    """

    agent: GreedyRewardPredictionAgent
    environment: BanditEnvironment
    capacity: int
    batch_size: int
    replays: bool = True
    scales: bool = True

    @property
    def metrics(self) -> RegretMetrics:
        """What is measured."""
        return RegretMetrics(self.environment.num_actions)

    def init(self, key: jax.Array) -> OnlineState:
        """Returns the state before the first round, with weights and a problem of its own."""
        key_agent, key_problem, key_rounds, key_run = jax.random.split(key, 4)
        zero = jnp.zeros((), jnp.float32)
        return OnlineState(
            agent=self.agent.init(key_agent),
            memory=specs.map_structure(jnp.asarray, specs.zeros(self.agent.training_data_spec, (self.capacity,))),
            time=jnp.zeros((), jnp.int32),
            reward_squares=zero,
            least_scale=jnp.ones((), jnp.float32),
            refused=jnp.zeros((), jnp.int32),
            problem=self.environment.draw_problem(key_problem),
            key_rounds=key_rounds,
            key_run=key_run,
        )

    def run(self, state: OnlineState, updates: Any, decisions: int, most: int) -> tuple[OnlineState, RegretState]:
        """Returns the state after some learning phases, and the sums over their rounds.

        Args:
          state: from `init` or the run before.
          updates: `[phases]` int32, gradient steps in each. Under `vmap` let all seeds share them: a loop of another
            length for each would run the longest for all, and select.
          decisions: before each phase, all from the same weights.
          most: what no entry of `updates` exceeds.
        """
        phases = len(updates)
        rounds = self.environment.draw_rounds(state.problem, state.key_rounds, state.time, phases * decisions)
        rounds = jax.tree.map(lambda x: x.reshape(phases, decisions, *x.shape[1:]), rounds)
        key_action, key_batch = jax.random.split(jax.random.fold_in(state.key_run, state.time))
        randomness = self.agent.collect_policy.draw(key_action, phases, decisions)
        bits = jax.random.bits(key_batch, (phases, most, self.batch_size), jnp.uint32)

        def phase(carry: Any, drawn: Any) -> tuple[Any, None]:
            state, sums = carry
            rounds, randomness, bits, updates = drawn
            state, sums, frames = self._decide(state, sums, rounds, randomness)
            if self.replays:
                return (self._learn(self._remember(state, frames), bits, updates), sums), None
            agent, info = self.agent.update(state.agent, jax.tree.map(lambda x: x[:, None], frames))
            refused = state.refused + ~jnp.isfinite(info.loss)
            return (state._replace(agent=agent, refused=refused), sums), None

        (state, sums), _ = jax.lax.scan(
            phase, (state, self.metrics.init()), (rounds, randomness, bits, jnp.asarray(updates, jnp.int32))
        )
        return state, sums

    def policy_state(self, state: OnlineState) -> AgentState:
        """Returns the agent's state with predictions in units of reward; pure."""
        if not self.scales:
            return state.agent
        return RewardUnits(scale=state.scale).restored(self.agent.reward_network, state.agent)

    def _decide(
        self, state: OnlineState, sums: RegretState, rounds: Any, randomness: Any
    ) -> tuple[OnlineState, RegretState, Trajectory]:
        policy = self.agent.collect_policy
        weights = self.agent.collect_policy_weights(self.policy_state(state), state.time)
        decisions = rounds.rewards.shape[0]
        first = jnp.full(decisions, StepType.FIRST, jnp.int32)
        ones, zeros = jnp.ones(decisions, jnp.float32), jnp.zeros(decisions, jnp.float32)
        time_step = TimeStep(first, zeros, ones, rounds.observation)
        choice = policy.act(weights, time_step, (), randomness)
        held_best = policy.distribute(weights, time_step, ()).action.mode()  # compiled together with the line above
        reward = jnp.take_along_axis(rounds.rewards, choice.action[:, None], axis=1)[:, 0]
        frames = self.agent.prepare(
            state.agent,
            Trajectory(
                step_type=first,
                observation=rounds.observation,
                action=choice.action,
                policy_info=choice.info,
                next_step_type=jnp.full(decisions, StepType.LAST, jnp.int32),
                reward=reward,
                discount=zeros,
            ),
        )
        state = state._replace(time=state.time + decisions, reward_squares=state.reward_squares + jnp.sum(reward**2))
        return state, self.metrics.update(sums, rounds.expected_rewards, choice.action, reward, held_best), frames

    def _remember(self, state: OnlineState, frames: Trajectory) -> OnlineState:
        """Returns the state with the frames of the latest decisions, which `time` counts already."""
        start = (state.time - frames.reward.shape[0]) % self.capacity

        def write(memory: jax.Array, new: jax.Array) -> jax.Array:
            return jax.lax.dynamic_update_slice_in_dim(memory, new.astype(memory.dtype), start, 0)

        return state._replace(memory=jax.tree.map(write, state.memory, frames))

    def _learn(self, state: OnlineState, bits: jax.Array, updates: jax.Array) -> OnlineState:
        seen = jnp.minimum(state.time, self.capacity).astype(jnp.uint32)
        scale = state.scale

        def step(number: Any, carry: Any) -> Any:
            agent, refused = carry
            rows = (bits[number] % seen).astype(jnp.int32)
            experience = jax.tree.map(lambda x: x[rows][:, None], state.memory)  # [batch, 1, ...]
            if self.scales:
                experience = experience._replace(reward=experience.reward / scale)
            agent, info = self.agent.update(agent, experience)
            return agent, refused + ~jnp.isfinite(info.loss)

        agent, refused = jax.lax.fori_loop(0, updates, step, (state.agent, state.refused))
        return state._replace(agent=agent, refused=refused)
