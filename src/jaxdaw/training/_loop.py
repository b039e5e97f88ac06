"""The learning loop as pure functions: record, learn, act; one body for host and pure environments."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdaw import specs
from jaxdaw.agents import Agent, AgentState
from jaxdaw.environments import JaxEnvironment
from jaxdaw.errors import ConfigError
from jaxdaw.metrics import EpisodeMetrics, EpisodeMetricsState
from jaxdaw.replay import PrioritizedState, PurePrioritizedReplay, ReplayState, UniformReplay
from jaxdaw.trajectories import PolicyStep, StepType, TimeStep, from_transition


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


_GATHERED_AT_ONCE = 2**22
"""Bytes of a learning phase's batches up to which they are drawn together: one look-up is faster than many."""


_FULL_CORRECTION = optax.constant_schedule(1.0)


class LoopState(NamedTuple):
    """Everything that the loop changes on the device.

    Attributes:
      agent: weights, optimizer, targets, counters.
      replay: the recorded frames, with their priorities if it is prioritized.
      metrics: of the episodes.
      time_step: `[B, ...]`, where the environments stand.
      action_step: `[B, ...]`, chosen there and not yet taken.
      losses: since they were last read.
    """

    agent: AgentState
    replay: ReplayState | PrioritizedState
    metrics: EpisodeMetricsState
    time_step: TimeStep
    action_step: PolicyStep
    losses: Losses


@dataclasses.dataclass(frozen=True, eq=False)
class Loop:
    """One agent learning from one replay; pure.

    Args:
      agent: the algorithm.
      replay: for frames of `num_envs` environments. A prioritized one is given the temporal-difference errors that the
        agent reports, after each gradient step, and gives the weights of the next.
      metrics: for as many.
      batch_size: windows in one gradient step.
      sequence_length: frames in a window.
      updates: gradient steps in one learning phase.
      importance_exponent: with a prioritized replay, how far the weights correct its draw, in `[0, 1]`, after a number
        of environment steps.
    """

    agent: Agent
    replay: UniformReplay | PurePrioritizedReplay
    metrics: EpisodeMetrics
    batch_size: int
    sequence_length: int
    updates: int
    importance_exponent: optax.Schedule = _FULL_CORRECTION

    @property
    def num_envs(self) -> int:
        """B, environments that step together."""
        return self.metrics.num_envs

    def init(self, agent: AgentState, time_step: TimeStep, key: jax.Array) -> LoopState:
        """Returns the state before the first action, with that action already chosen."""
        policy = self.agent.collect_policy
        randomness = jax.tree.map(lambda x: x[0], policy.draw(key, 1, self.num_envs))
        weights = self.agent.collect_policy_weights(agent, jnp.zeros((), jnp.int32))
        return LoopState(
            agent=agent,
            replay=self.replay.init(),
            metrics=self.metrics.init(),
            time_step=time_step,
            action_step=policy.act(weights, time_step, policy.initial_state(self.num_envs), randomness),
            losses=Losses.zero(),
        )

    def draw(self, key: jax.Array, iterations: int, phases: int) -> tuple[Any, jax.Array]:
        """Returns the random numbers of a whole chunk, drawn at once.

        Returns:
          What `iterations` actions need, leading axis iterations; and `[phases, updates, batch]` uint32, which windows
          to learn from.
        """
        key_action, key_bits = jax.random.split(key)
        actions = self.agent.collect_policy.draw(key_action, iterations, self.num_envs)
        return actions, jax.random.bits(key_bits, (phases, self.updates, self.batch_size), jnp.uint32)

    def advance(
        self, loop: LoopState, following: TimeStep, randomness: Any, bits: jax.Array | None = None
    ) -> LoopState:
        """Records the step that was taken, learns, and chooses the next action; pure.

        Recording comes before sampling: the other order copies the whole ring inside a scan.

        Args:
          loop: from `init` or the call before.
          following: `[B, ...]`, what the chosen action led to.
          randomness: one action's entry of `draw`.
          bits: one phase's entry of `draw`; None does not learn.
        """
        frame = from_transition(loop.time_step, loop.action_step, following)
        replay = self.replay.add(loop.replay, frame)  # pyright: ignore[reportArgumentType]  # the state is this replay's
        metrics = self.metrics.update(loop.metrics, frame)
        agent, losses = loop.agent, loop.losses
        if bits is not None:
            agent, losses, replay = self._learn(agent, losses, replay, bits, metrics.env_steps)
        policy = self.agent.collect_policy
        weights = self.agent.collect_policy_weights(agent, metrics.env_steps)
        choice = policy.act(weights, following, loop.action_step.state, randomness)
        return LoopState(agent, replay, metrics, following, choice, losses)

    def _learn(self, agent: AgentState, losses: Losses, replay: Any, bits: Any, env_steps: Any) -> tuple[Any, ...]:
        if isinstance(self.replay, PurePrioritizedReplay):
            return self._learn_by_priority(self.replay, (agent, losses, replay), bits, env_steps)

        def update(carry: tuple[AgentState, Losses], experience: Any) -> tuple[tuple[AgentState, Losses], None]:
            return self._update(*carry, experience)[:2], None

        def sample(bits: jax.Array) -> Any:
            return self.replay.sample_from_bits(replay, bits, self.sequence_length)[0]

        if self.updates == 1:
            return (*update((agent, losses), sample(bits[0]))[0], replay)
        if self._phase_bytes <= _GATHERED_AT_ONCE:
            batches = jax.tree.map(lambda x: x.reshape(*bits.shape, *x.shape[1:]), sample(bits.reshape(-1)))
            return (*jax.lax.scan(update, (agent, losses), batches)[0], replay)
        return (*jax.lax.scan(lambda carry, b: update(carry, sample(b)), (agent, losses), bits)[0], replay)

    def _learn_by_priority(
        self, replay: PurePrioritizedReplay, carry: tuple[AgentState, Losses, PrioritizedState], bits: Any, steps: Any
    ) -> tuple[Any, ...]:
        exponent = self.importance_exponent(steps)
        agent, losses, (ring, *priorities) = carry

        def update(carry: Any, bits: jax.Array) -> tuple[Any, None]:
            agent, losses, priorities = carry
            state = PrioritizedState(ring, *priorities)  # the ring stays outside of the carry: it does not change
            experience, drawn = replay.sample_from_bits(state, bits, exponent)
            agent, losses, extra = self._update(agent, losses, experience, drawn.weights)
            state = replay.update_priorities(state, drawn.indices, _priorities(self.agent, extra))
            return (agent, losses, list(state[1:])), None

        start = (agent, losses, priorities)
        agent, losses, priorities = (
            update(start, bits[0])[0] if self.updates == 1 else jax.lax.scan(update, start, bits)[0]
        )
        return agent, losses, PrioritizedState(ring, *priorities)

    def _update(self, agent: AgentState, losses: Losses, experience: Any, weights: Any = None) -> tuple[Any, ...]:
        """Returns the agent after one gradient step, the losses with it counted, and what the agent reports."""
        agent, outcome = self.agent.update(agent, experience, weights)
        finite = jnp.isfinite(outcome.loss)
        counted = Losses(
            total=losses.total + jnp.where(finite, outcome.loss, 0.0),
            updates=losses.updates + 1,
            refused=losses.refused + ~finite,
        )
        return agent, counted, outcome.extra

    @property
    def _phase_bytes(self) -> int:
        leaves = specs.flatten(self.agent.collect_data_spec)
        frame = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
        return frame * self.sequence_length * self.batch_size * self.updates

    def interrupt(self, loop: LoopState, first: TimeStep, key: jax.Array) -> LoopState:
        """Returns the state after the environments were reset from outside: the episodes under way count as cut; pure.

        Args:
          loop: as it was when the environments were lost.
          first: `[B, ...]`, the FIRST steps of new episodes.
          key: consumed.
        """
        cut = loop.time_step._replace(step_type=jnp.full_like(loop.time_step.step_type, StepType.LAST))
        randomness = jax.tree.map(lambda x: x[0], self.agent.collect_policy.draw(key, 1, self.num_envs))
        return self.advance(loop._replace(time_step=cut), first, randomness)

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
        step = jax.vmap(environment.step)

        def act(carry: Any, randomness: Any, bits: jax.Array | None = None) -> Any:
            loop, states = carry
            states, following = step(states, loop.action_step.action)
            return self.advance(loop, following, randomness, bits), states

        if train_every == 0:
            actions, _ = self.draw(key, phases, 0)
            return jax.lax.scan(lambda carry, r: (act(carry, r), None), (loop, states), actions)[0]

        def phase(carry: Any, drawn: Any) -> tuple[Any, None]:
            randomness, bits = drawn
            if train_every > 1:
                head = jax.tree.map(lambda x: x[:-1], randomness)
                carry, _ = jax.lax.scan(lambda carry, r: (act(carry, r), None), carry, head)
            return act(carry, jax.tree.map(lambda x: x[-1], randomness), bits), None

        actions, bits = self.draw(key, phases * train_every, phases)
        actions = jax.tree.map(lambda x: x.reshape(phases, train_every, *x.shape[1:]), actions)
        return jax.lax.scan(phase, (loop, states), (actions, bits))[0]


def _priorities(agent: Agent, extra: Any) -> jax.Array:
    """Returns the priorities of the rows of a batch, `[B]`, from what an agent reports.

    Of a sequence, as in Kapturowski et al. 2019, nine tenths of the largest error and one tenth of the mean.
    """
    errors = getattr(extra, "td_error", None)
    if errors is None:
        raise ConfigError(
            f"{agent.name} reports no temporal-difference errors, which a prioritized replay draws by",
            expected="LossInfo.extra.td_error, [B] or [B, T - 1]",
            got=type(extra).__name__,
            fix='LoopOptions(replay="uniform")',
        )
    sizes = jnp.abs(errors)
    return 0.9 * jnp.max(sizes, axis=1) + 0.1 * jnp.mean(sizes, axis=1) if sizes.ndim == 2 else sizes
