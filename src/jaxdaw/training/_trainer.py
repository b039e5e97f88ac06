"""What trainers share: their options, what they report, and where a loop and an environment meet."""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdaw import specs
from jaxdaw.agents import Agent, AgentState, check_choice, check_range
from jaxdaw.errors import ConfigError
from jaxdaw.metrics import EpisodeMetrics, EpisodeSummary
from jaxdaw.policies import BoltzmannPolicy, EpsilonGreedyPolicy
from jaxdaw.replay import (
    HostSource,
    PrioritizedSource,
    PurePrioritizedReplay,
    RolloutSource,
    Source,
    UniformReplay,
    UniformSource,
)
from jaxdaw.training._loop import Loop, LoopState, Losses


@dataclasses.dataclass(frozen=True)
class LoopOptions:
    """How an agent meets its experience.

    Attributes:
      batch_size: windows in one gradient step.
      replay_capacity: frames kept, over all environments.
      learning_starts: environment steps before the first gradient step.
      random_starts: whether the actions of these steps are uniformly random, instead of the collect policy's.
      train_every: steps in each environment before each learning phase; of rollouts their length.
      updates: gradient steps in a learning phase; None is one for each environment step since the last phase.
      sequence_length: frames in a window; None is what the agent needs (recurrent agents must be told).
      report_every: environment steps between two reports.
      replay: where batches come from: "uniform" draws of a replay on the device; "prioritized" ones, by the
        temporal-difference errors that the agent reports; "host", uniform draws of a replay in NumPy, for images; or
        "rollout", the latest `train_every` steps, for on-policy agents.
      priority_exponent: in `[0, 1]`, of the errors, with a prioritized replay; 0 draws uniformly.
      importance_exponent: in `[0, 1]`, how far weights correct a prioritized draw at first; it grows linearly to 1.
      importance_steps: environment steps until it is 1; None is those of `fit`. Without either it stays.
      frame_stack: with a host replay, images that the environment stacks along the last axis, which are stored once; 0
        stores frames as they are.
      epochs, minibatches: of rollouts: passes, and gradient steps in a pass.
      by_sequence, overlap: of rollouts, see `RolloutSource`.
    """

    batch_size: int = 64
    replay_capacity: int = 50_000
    learning_starts: int = 1_000
    random_starts: bool = False
    train_every: int = 1
    updates: int | None = None
    sequence_length: int | None = None
    report_every: int = 1_000
    replay: Literal["uniform", "prioritized", "host", "rollout"] = "uniform"
    priority_exponent: float = 0.6
    importance_exponent: float = 0.4
    importance_steps: int | None = None
    frame_stack: int = 0
    epochs: int = 1
    minibatches: int = 1
    by_sequence: bool = True
    overlap: int = 0

    def __post_init__(self):
        check_choice("replay", self.replay, ("uniform", "prioritized", "host", "rollout"))
        for name in ("priority_exponent", "importance_exponent"):
            check_range(name, getattr(self, name), 0.0, 1.0)
        lowest = {"learning_starts": 0, "sequence_length": 2, "frame_stack": 0, "overlap": 0}
        optional = ("updates", "sequence_length", "importance_steps")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type in ("int", "int | None"):
                low = lowest.get(field.name, 1)
                check_range(field.name, value, low, math.inf, integer=True, optional=field.name in optional)

    def make_source(self, agent: Agent, num_envs: int) -> Source:
        """Returns the source of batches that these options describe, for frames of `num_envs` environments.

        Raises:
          ConfigError: the agent learns from sequences of any length, and `sequence_length` is None.
        """
        spec = agent.collect_data_spec
        if self.replay == "rollout":
            return RolloutSource(
                spec, num_envs, self.train_every, self.epochs, self.minibatches, self.by_sequence, self.overlap
            )
        frames = self.sequence_length or agent.train_sequence_length
        if frames is None:
            raise ConfigError(
                f"{agent.name} learns from sequences of any length",
                expected="sequence_length >= 2",
                got="None",
                fix="LoopOptions(sequence_length=16)",
            )
        updates = self.updates or num_envs * self.train_every
        if self.replay == "host":
            return HostSource(spec, self.replay_capacity, num_envs, frames, self.batch_size, updates, self.frame_stack)
        if self.replay == "prioritized":
            replay = PurePrioritizedReplay(spec, self.replay_capacity, num_envs, frames, self.priority_exponent)
            return PrioritizedSource(replay, self.batch_size, updates, self.importance_schedule())
        return UniformSource(UniformReplay(spec, self.replay_capacity, num_envs), frames, self.batch_size, updates)

    def importance_schedule(self) -> optax.Schedule:
        """Returns the importance exponent over environment steps."""
        if self.importance_steps is None:
            return optax.constant_schedule(self.importance_exponent)
        return optax.linear_schedule(self.importance_exponent, 1.0, self.importance_steps)


class Report(NamedTuple):
    """What happened since the last report.

    Attributes:
      env_steps: environment steps since the beginning; boundary frames do not count.
      train_step: gradient steps applied since the beginning.
      episodes: what the episodes ended since the last report were like.
      members: the same for each seed of a population; one entry for a single run.
      loss: mean loss of the gradient steps since the last report; NaN if there were none.
      updates, refused: gradient steps tried since the last report, and those refused as not finite.
      exploration: the collect policy's number at the end (epsilon or temperature), or None.
      learning: whether gradient steps have begun.
    """

    env_steps: int
    train_step: int
    episodes: EpisodeSummary
    members: tuple[EpisodeSummary, ...]
    loss: float
    updates: int
    refused: int
    exploration: float | None
    learning: bool


class Trainer(abc.ABC):
    """What both kinds of trainers share.

    Args:
      agent: the algorithm; its weights are where training starts.
      environment: host or pure; its specs must be the agent's.
      options: batch size, replay, ratio of steps to updates.
      seed: of everything random here.
      num_envs: environments that step together.
    """

    def __init__(self, agent: Agent, environment: Any, options: LoopOptions, seed: int, num_envs: int):
        check_specs(agent, environment)
        self.agent = agent
        self.environment = environment
        self.options = options
        self.num_envs = num_envs
        action = specs.flatten(agent.action_spec)
        discrete = len(action) == 1 and action[0].shape == () and specs.is_discrete(action[0])
        if options.random_starts and specs.flatten(agent.collect_policy.info_spec):
            raise ConfigError(
                f"{agent.name} records information about its actions, and random ones have none",
                expected="random_starts=False",
                got=str(agent.collect_policy.info_spec)[:80],
            )
        self.loop = Loop(
            agent=agent,
            source=options.make_source(agent, num_envs),
            metrics=EpisodeMetrics(num_envs, int(specs.num_values(action[0])) if discrete else 0),
            random_steps=options.learning_starts if options.random_starts else 0,
        )
        self._key = jax.random.key(seed)
        self._stop = False
        self.waits = False
        phases = max(options.report_every // (num_envs * options.train_every), 1)
        self._chunk_phases = phases
        self._chunk = phases * options.train_every
        warm_up = max(options.learning_starts / num_envs, self.loop.source.warm_up)
        self._warm_up = math.ceil(warm_up / options.train_every) * options.train_every

    def stop(self) -> None:
        """Asks `run` to return as soon as the state is consistent."""
        self._stop = True

    @property
    def stopped(self) -> bool:
        """Whether `stop` was asked for."""
        return self._stop

    @abc.abstractmethod
    def run(self) -> Report:
        """Runs to the next report."""

    @abc.abstractmethod
    def tree(self) -> dict[str, Any]:
        """Returns everything that a checkpoint must hold."""

    @abc.abstractmethod
    def restore(self, tree: dict[str, Any]) -> str | None:
        """Goes on from a checkpoint's tree. Returns what could not be restored, in words, or None."""

    def collect_weights(self) -> Any:
        """Returns the weights of the agent's policy as they are now, for `run_episodes`; valid until `run`."""
        return self.agent.policy_weights(self.state.agent)

    def sync(self) -> None:
        """Gives the agent a copy of the trained state: its networks, counter and optimizer."""
        state = jax.tree.map(jnp.copy, self.state.agent)
        self.agent.set_state(state)
        self.agent.train_step_counter.value = int(state.train_step)

    env_steps: int
    waits: bool
    """Whether a host environment is stepping at this moment."""

    @property
    @abc.abstractmethod
    def state(self) -> LoopState:
        """Everything that the compiled loop carries on."""

    def _exploration(self, steps: int) -> float | None:
        policy = self.agent.collect_policy
        return policy.exploration_at(steps) if isinstance(policy, EpsilonGreedyPolicy | BoltzmannPolicy) else None

    def _chunk_key(self, chunk: int) -> jax.Array:
        return jax.random.fold_in(self._key, chunk)


def check_specs(agent: Agent, environment: Any) -> None:
    """Checks that an agent was made for these observations and actions.

    Raises:
      SpecError: the specs differ; the message shows where.
    """
    for what, mine, theirs in (
        ("observation_spec", agent.time_step_spec.observation, environment.observation_spec),
        ("action_spec", agent.action_spec, environment.action_spec),
    ):
        specs.assert_same_structure(mine, theirs, what=f"the environment's {what}")
        for (path, ours), (_, other) in zip(
            specs.flatten_with_path(mine), specs.flatten_with_path(theirs), strict=True
        ):
            bounds = isinstance(ours, specs.BoundedTensorSpec) and isinstance(other, specs.BoundedTensorSpec)
            same = ours.shape == other.shape and ours.dtype == other.dtype
            if bounds and specs.is_discrete(ours):
                same &= bool(np.all(ours.minimum == other.minimum) and np.all(ours.maximum == other.maximum))
            if not same:
                raise ConfigError(
                    f"{agent.name} was made for another {what} at {path or 'its only leaf'}",
                    expected=str(ours),
                    got=str(other),
                    fix=f"{type(agent).__name__}(environment.time_step_spec(), environment.action_spec, ...)",
                )


def seeded(agent: Agent, seed: int) -> AgentState:
    """Returns a copy of an agent's state whose randomness is that of a seed."""
    key = jax.random.key_data(jax.random.fold_in(jax.random.key(seed), 2**32 - 1))
    return jax.tree.map(jnp.copy, agent.get_state()._replace(key=key))


def mean_loss(losses: Losses) -> float:
    """Returns the mean of the losses that were finite; NaN if there was none."""
    applied = np.sum(losses.updates) - np.sum(losses.refused)
    return float(np.sum(losses.total) / applied) if applied else float("nan")
