"""The learning loop as pure functions: record, learn, act; one body for host and pure environments."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdaw.agents import Agent, AgentState
from jaxdaw.environments import JaxEnvironment
from jaxdaw.metrics import EpisodeMetrics, EpisodeMetricsState
from jaxdaw.policies import RandomPolicy
from jaxdaw.replay import BatchSource, Source
from jaxdaw.trajectories import PolicyStep, StepType, TimeStep, Trajectory, from_transition


class Losses(NamedTuple):
    """Losses since they were last read.

    Attributes:
      total: `[]` float32, the sum of the finite ones.
      updates: `[]` int32, gradient steps tried.
      refused: `[]` int32, those refused because their loss or gradient was not finite.
    """

    total: Any
    updates: Any
    refused: Any

    @staticmethod
    def zero() -> Losses:
        """Returns the counts before the first update."""
        return Losses(jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))

    def counted(self, losses: jax.Array) -> Losses:
        """Returns the sums with the losses of more gradient steps, `[K]`; that of a refused step is NaN."""
        finite = jnp.isfinite(losses)
        return Losses(
            total=self.total + jnp.sum(losses, where=finite),
            updates=self.updates + losses.size,
            refused=self.refused + jnp.sum(~finite, dtype=jnp.int32),
        )


def learn_phase(
    agent: Agent, source: BatchSource, state: AgentState, kept: Any, xs: Any, env_steps: Any = 0
) -> tuple[AgentState, Any, jax.Array]:
    """Returns the agent's and the source's states after one learning phase, and its losses `[K]`; pure.

    Args:
      agent, source: the agent, and the source of its batches.
      state, kept: of the agent, and of the source.
      xs: what the source's `batches` returned.
      env_steps: taken so far.
    """

    def update(carry: tuple[AgentState, Any], x: Any) -> tuple[Any, jax.Array]:
        state, kept = carry
        experience, weights, drawn = source.batch(kept, x, env_steps)
        state, info = agent.update(state, experience, weights)
        return (state, source.feedback(kept, drawn, info.extra)), info.loss

    if source.updates == 1:  # without the loop, which takes longer to run
        (state, kept), loss = update((state, kept), jax.tree.map(lambda x: x[0], xs))
        return state, kept, loss[None]
    (state, kept), losses = jax.lax.scan(update, (state, kept), xs)
    return state, kept, losses


class LoopState(NamedTuple):
    """Everything that the loop changes on the device.

    Attributes:
      agent: weights, optimizers, memory, counters.
      source: the recorded frames, as the source keeps them; `()` where it keeps them on the host.
      metrics: of the episodes.
      time_step: `[B, ...]`, where the environments stand.
      action_step: `[B, ...]`, chosen there and not yet taken.
      losses: since they were last read.
    """

    agent: AgentState
    source: Any
    metrics: EpisodeMetricsState
    time_step: TimeStep
    action_step: PolicyStep
    losses: Losses


@dataclasses.dataclass(frozen=True, eq=False)
class Loop:
    """One agent learning from one source of experience; pure.

    Args:
      agent: the algorithm.
      source: of batches, for frames of `num_envs` environments.
      metrics: for as many.
      random_steps: environment steps at the beginning whose actions are uniformly random.
    """

    agent: Agent
    source: Source
    metrics: EpisodeMetrics
    random_steps: int = 0

    @property
    def num_envs(self) -> int:
        """B, environments that step together."""
        return self.metrics.num_envs

    def init(self, agent: AgentState, time_step: TimeStep, key: jax.Array) -> LoopState:
        """Returns the state before the first action, with that action already chosen."""
        randomness = jax.tree.map(lambda x: x[0], self._draw_actions(key, 1))
        state = self.agent.collect_policy.initial_state(self.num_envs)
        return LoopState(
            agent=agent,
            source=() if self.source.on_host else self.source.init(),
            metrics=self.metrics.init(),
            time_step=time_step,
            action_step=self._choose(agent, time_step, state, randomness, jnp.zeros((), jnp.int32)),
            losses=Losses.zero(),
        )

    def draw(self, key: jax.Array, iterations: int, phases: int) -> tuple[Any, Any]:
        """Returns the random numbers of a whole chunk, drawn at once.

        Returns:
          What `iterations` actions need, leading axis iterations; and what the source needs, leading axis phases.
        """
        key_action, key_source = jax.random.split(key)
        return self._draw_actions(key_action, iterations), self.source.draw(key_source, phases)

    def advance(self, loop: LoopState, following: TimeStep, randomness: Any, to_learn: Any = None) -> LoopState:
        """Records the step that was taken, learns, and chooses the next action; pure.

        Recording comes before sampling: the other order copies the whole ring inside a scan.

        Args:
          loop: from `init` or the call before.
          following: `[B, ...]`, what the chosen action led to.
          randomness: one action's entry of `draw`.
          to_learn: one phase's entry of `draw`; None does not learn.
        """
        loop, frame = self.record(loop, following)
        loop = loop._replace(source=self.source.add(loop.source, frame))
        if to_learn is not None:
            rollouts: list[Any] = []  # one, of a source whose batches are parts of a rollout

            def prepare(frames: Any) -> Any:
                rollouts.append(self.agent.prepare(loop.agent, frames))
                return rollouts[-1]

            xs = self.source.batches(loop.source, to_learn, prepare)
            learned = self.learn(loop, xs)
            for rollout in rollouts:
                learned = learned._replace(agent=self.agent.finish(learned.agent, rollout))
            loop = learned
        return self.act(loop, following, randomness)

    def record(self, loop: LoopState, following: TimeStep) -> tuple[LoopState, Trajectory]:
        """Returns the state with the step that was taken counted, and the frame that records it; pure."""
        frame = from_transition(loop.time_step, loop.action_step, following)
        return loop._replace(metrics=self.metrics.update(loop.metrics, frame)), frame

    def learn(self, loop: LoopState, xs: Any) -> LoopState:
        """Returns the state after one learning phase; `xs` is what the source's `batches` returned; pure."""
        agent, kept, losses = learn_phase(self.agent, self.source, loop.agent, loop.source, xs, loop.metrics.env_steps)
        return loop._replace(agent=agent, source=kept, losses=loop.losses.counted(losses))

    def act(self, loop: LoopState, time_step: TimeStep, randomness: Any) -> LoopState:
        """Returns the state with the next action chosen at `time_step`; pure."""
        choice = self._choose(loop.agent, time_step, loop.action_step.state, randomness, loop.metrics.env_steps)
        return loop._replace(time_step=time_step, action_step=choice)

    def _draw_actions(self, key: jax.Array, iterations: int) -> Any:
        draw = self.agent.collect_policy.draw
        if not self.random_steps:
            return draw(key, iterations, self.num_envs)
        key_policy, key_random = jax.random.split(key)
        return draw(key_policy, iterations, self.num_envs), self._random.draw(key_random, iterations, self.num_envs)

    def _choose(
        self, agent: AgentState, time_step: TimeStep, policy_state: Any, randomness: Any, env_steps: jax.Array
    ) -> PolicyStep:
        randomness, uniform = randomness if self.random_steps else (randomness, None)
        weights = self.agent.collect_policy_weights(agent, env_steps)
        choice = self.agent.collect_policy.act(weights, time_step, policy_state, randomness)
        if not self.random_steps:
            return choice
        drawn = self._random.act((), time_step, (), uniform).action
        is_random = env_steps < self.random_steps
        return choice._replace(action=jax.tree.map(lambda x, y: jnp.where(is_random, x, y), drawn, choice.action))

    @property
    def _random(self) -> RandomPolicy:
        policy = self.agent.collect_policy
        splitter = policy.observation_and_action_constraint_splitter
        return RandomPolicy(
            policy.time_step_spec, policy.action_spec, observation_and_action_constraint_splitter=splitter
        )

    def cut(self, loop: LoopState) -> LoopState:
        """Returns the state for environments that were lost: the episodes under way count as cut; pure.

        The FIRST steps of new episodes may follow.
        """
        step_type = jnp.full_like(loop.time_step.step_type, StepType.LAST)
        return loop._replace(time_step=loop.time_step._replace(step_type=step_type))

    def scan(
        self, environment: JaxEnvironment, loop: LoopState, states: Any, key: jax.Array, phases: int, train_every: int
    ) -> tuple[LoopState, Any]:
        """Runs `phases * max(train_every, 1)` steps in a pure environment as one scan; pure.

        Args:
          environment: of which `num_envs` copies step.
          loop: from `init` or the scan before.
          states: `[B, ...]`, the environments'.
          key: consumed.
          phases: learning phases; without learning, steps.
          train_every: steps in each environment before each learning phase; 0 never learns.

        Returns:
          The loop's state and the environments'.
        """
        step = jax.vmap(environment.clipped_step)

        def act(carry: Any, randomness: Any, to_learn: Any = None) -> Any:
            loop, states = carry
            states, following = step(states, loop.action_step.action)
            return self.advance(loop, following, randomness, to_learn), states

        if train_every == 0:
            actions, _ = self.draw(key, phases, 0)
            return jax.lax.scan(lambda carry, r: (act(carry, r), None), (loop, states), actions)[0]

        def phase(carry: Any, drawn: Any) -> tuple[Any, None]:
            randomness, to_learn = drawn
            if train_every > 1:
                head = jax.tree.map(lambda x: x[:-1], randomness)
                carry, _ = jax.lax.scan(lambda carry, r: (act(carry, r), None), carry, head)
            return act(carry, jax.tree.map(lambda x: x[-1], randomness), to_learn), None

        actions, to_learn = self.draw(key, phases * train_every, phases)
        actions = jax.tree.map(lambda x: x.reshape(phases, train_every, *x.shape[1:]), actions)
        return jax.lax.scan(phase, (loop, states), (actions, to_learn))[0]
