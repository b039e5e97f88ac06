"""Trainers: a loop, an environment, and where they stand. One for host environments, one for pure ones."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.agents import Agent, check_range
from jaxdaw.environments import Environment, JaxEnvironment
from jaxdaw.errors import ConfigError, explain
from jaxdaw.metrics import EpisodeMetrics, EpisodeSummary
from jaxdaw.policies import BoltzmannPolicy, EpsilonGreedyPolicy
from jaxdaw.replay import ReplayState, UniformReplay
from jaxdaw.training._loop import Loop, LoopState, Losses
from jaxdaw.trajectories import StepType


@dataclasses.dataclass(frozen=True)
class LoopOptions:
    """How an agent meets its experience.

    Attributes:
      batch_size: windows in one gradient step.
      replay_capacity: frames kept, over all environments.
      learning_starts: environment steps before the first gradient step.
      train_every: steps in each environment before each learning phase.
      updates: gradient steps in a learning phase; None is one for each environment step since the last phase.
      sequence_length: frames in a window; None is what the agent needs (recurrent agents must be told).
      report_every: environment steps between two reports.
    """

    batch_size: int = 64
    replay_capacity: int = 50_000
    learning_starts: int = 1_000
    train_every: int = 1
    updates: int | None = None
    sequence_length: int | None = None
    report_every: int = 1_000

    def __post_init__(self):
        for field in dataclasses.fields(self):
            low = 0 if field.name == "learning_starts" else 2 if field.name == "sequence_length" else 1
            value = getattr(self, field.name)
            check_range(
                field.name, value, low, math.inf, integer=True, optional=field.name in ("updates", "sequence_length")
            )


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


class Trainer:
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
        frames = options.sequence_length or agent.train_sequence_length
        if frames is None:
            raise ConfigError(
                explain(
                    f"{agent.name} learns from sequences of any length",
                    expected="sequence_length >= 2",
                    got="None",
                    fix="LoopOptions(sequence_length=16)",
                )
            )
        action = specs.flatten(agent.action_spec)
        discrete = len(action) == 1 and action[0].shape == () and specs.is_discrete(action[0])
        self.loop = Loop(
            agent=agent,
            replay=UniformReplay(agent.collect_data_spec, options.replay_capacity, num_envs),
            metrics=EpisodeMetrics(num_envs, int(specs.num_values(action[0])) if discrete else 0),
            batch_size=options.batch_size,
            sequence_length=frames,
            updates=options.updates or num_envs * options.train_every,
        )
        self._key = jax.random.key(seed)
        self._stop = False
        phases = max(options.report_every // (num_envs * options.train_every), 1)
        self._chunk_phases = phases
        self._chunk = phases * options.train_every
        shortest = frames * num_envs
        warm_up = max(options.learning_starts, shortest) / num_envs
        self._warm_up = math.ceil(warm_up / options.train_every) * options.train_every

    def stop(self) -> None:
        """Asks `run` to return as soon as the state is consistent."""
        self._stop = True

    @property
    def stopped(self) -> bool:
        """Whether `stop` was asked for."""
        return self._stop

    def run(self) -> Report:
        """Runs to the next report."""
        raise NotImplementedError

    def tree(self) -> dict[str, Any]:
        """Returns everything that a checkpoint must hold."""
        raise NotImplementedError

    def restore(self, tree: dict[str, Any]) -> str | None:
        """Goes on from a checkpoint's tree. Returns what could not be restored, in words, or None."""
        raise NotImplementedError

    def collect_weights(self) -> Any:
        """Returns the weights of the agent's policy as they are now, for `run_episodes`; valid until `run`."""
        return self.agent.policy_weights(self.state.agent)

    def sync(self) -> None:
        """Gives the agent a copy of the trained state: its networks, counter and optimizer."""
        state = jax.tree.map(jnp.copy, self.state.agent)
        self.agent.set_state(state)
        self.agent.train_step_counter.value = int(state.train_step)

    env_steps: int

    @property
    def state(self) -> LoopState:
        """Everything that the compiled loop carries on."""
        raise NotImplementedError

    def _exploration(self, steps: int) -> float | None:
        policy = self.agent.collect_policy
        return policy.exploration_at(steps) if isinstance(policy, EpsilonGreedyPolicy | BoltzmannPolicy) else None

    def _chunk_key(self, chunk: int) -> jax.Array:
        return jax.random.fold_in(self._key, chunk)


class HostTrainer(Trainer):
    """Trains in a host environment: one compiled call for each step of all its rows. See `Trainer`."""

    environment: Environment

    def __init__(self, agent: Agent, environment: Environment, options: LoopOptions, seed: int = 0):
        super().__init__(agent, environment, options, seed, environment.batch_size)
        loop = self.loop
        self._draw = jax.jit(loop.draw, static_argnums=(1, 2))

        def collect(state: LoopState, following: Any, actions: Any, i: Any) -> tuple[LoopState, Any]:
            state = loop.advance(state, following, _at(actions, i))
            return state, state.action_step.action

        def learn(
            state: LoopState, following: Any, actions: Any, bits: Any, i: Any, phase: Any
        ) -> tuple[LoopState, Any]:
            state = loop.advance(state, following, _at(actions, i), bits[phase])
            return state, state.action_step.action

        compiler = agent.compiler_options()
        self._collect = jax.jit(collect, donate_argnums=0, compiler_options=compiler)
        self._learn = jax.jit(learn, donate_argnums=0, compiler_options=compiler)
        self._clear = jax.jit(
            lambda s: s._replace(metrics=loop.metrics.clear(s.metrics), losses=Losses.zero()), donate_argnums=0
        )
        self.iteration = 0
        self.env_steps = 0
        first = environment.reset(seed=seed)
        self._state = jax.jit(loop.init)(_copied(agent.get_state()), first, jax.random.fold_in(self._key, 2**31))
        self._action = jax.device_get(self._state.action_step.action)

    @property
    def state(self) -> LoopState:
        """Everything that the compiled calls carry on."""
        return self._state

    def run(self) -> Report:
        """Runs to the next report, or to the next step if asked to stop."""
        chunk, start = divmod(self.iteration, self._chunk)
        actions, bits = self._draw(self._chunk_key(chunk), self._chunk, self._chunk_phases)
        state, action, step = self._state, self._action, self.environment.step
        every, warm_up, rows = self.options.train_every, self._warm_up, self.num_envs
        on_host = np.asarray if isinstance(action, np.ndarray) else jax.device_get  # the general way takes 25 us more
        try:
            for i in range(start, self._chunk):
                following = step(action)
                self.env_steps += rows - int(np.count_nonzero(following.step_type == StepType.FIRST))
                self.iteration += 1
                if self.iteration > warm_up and self.iteration % every == 0:
                    state, action = self._learn(state, following, actions, bits, np.int32(i), np.int32(i // every))
                else:
                    state, action = self._collect(state, following, actions, np.int32(i))
                action = on_host(action)
                if self._stop:
                    break
        finally:
            self._state, self._action = state, action
        losses, summary = jax.device_get(state.losses), self.loop.metrics.compute(state.metrics)
        train_step = int(state.agent.train_step)
        self._state = self._clear(state)
        return Report(
            env_steps=self.env_steps,
            train_step=train_step,
            episodes=summary,
            members=(summary,),
            loss=_mean(losses),
            updates=int(losses.updates),
            refused=int(losses.refused),
            exploration=self._exploration(self.env_steps),
            learning=self.iteration > warm_up,
        )

    def tree(self) -> dict[str, Any]:
        """Returns everything that a checkpoint must hold."""
        return {
            "loop": self._state,
            "counters": {"iteration": np.int64(self.iteration), "env_steps": np.int64(self.env_steps)},
        }

    def restore(self, tree: dict[str, Any]) -> str | None:
        """Goes on from a checkpoint's tree. Returns what could not be restored, in words, or None."""
        self.iteration, self.env_steps = (int(tree["counters"][k]) for k in ("iteration", "env_steps"))
        first = self.environment.reset(seed=int(jax.random.bits(jax.random.fold_in(self._key, self.iteration)) >> 1))
        key = jax.random.fold_in(self._key, 2**31 + 1)
        state = jax.tree.map(jnp.copy, tree["loop"])
        self._state = jax.jit(self.loop.interrupt, donate_argnums=0)(state, first, key)
        self._action = jax.device_get(self._state.action_step.action)
        return "the environment's own state: new episodes start, and those under way count as cut"


class JaxTrainer(Trainer):
    """Trains in a pure environment: acting, stepping and learning in one scan; for several seeds in one `vmap`.

    On a CPU the seeds are dealt to several such programs, of which each core runs one at a time: that is twice as fast
    as one program whose operations take turns in using all cores.

    Args:
      seeds: one for each member of the population; a single one trains the agent itself, from its own weights.
    """

    environment: JaxEnvironment

    def __init__(
        self,
        agent: Agent,
        environment: JaxEnvironment,
        options: LoopOptions,
        seeds: tuple[int, ...] = (0,),
        num_envs: int = 1,
    ):
        super().__init__(agent, environment, options, seeds[0], num_envs)
        self.seeds = seeds
        loop, self._population = self.loop, len(seeds) > 1

        def begin(state: Any, key: jax.Array) -> tuple[LoopState, Any]:
            key_agent, key_environment, key_action = jax.random.split(key, 3)
            states, first = jax.vmap(environment.init)(jax.random.split(key_environment, num_envs))
            return loop.init(agent.init(key_agent) if state is None else state, first, key_action), states

        def advance(state: LoopState, states: Any, key: jax.Array, phases: int, every: int) -> tuple[LoopState, Any]:
            return loop.scan(environment, state, states, key, phases, every)

        def clear(state: LoopState) -> LoopState:
            return state._replace(metrics=loop.metrics.clear(state.metrics), losses=Losses.zero())

        compiler = agent.compiler_options()
        keys = [jnp.stack([jax.random.key(int(seed)) for seed in part]) for part in _dealt(seeds)]
        if self._population:
            axes: Any = (0, ReplayState(*_SHARED_CURSOR), 0, 0, 0, 0)
            shared = LoopState(*axes)
            initialize = jax.jit(jax.vmap(lambda key: begin(None, key), out_axes=(shared, 0)))
            self._shards = [initialize(part) for part in keys]
            self._advance = jax.jit(
                lambda state, states, keys, phases, every: jax.vmap(
                    lambda s, e, k: advance(s, e, k, phases, every), in_axes=(shared, 0, 0), out_axes=(shared, 0)
                )(state, states, keys),
                static_argnums=(3, 4),
                donate_argnums=(0, 1),
                compiler_options=compiler,
            )
            self._clear = jax.jit(jax.vmap(clear, in_axes=(shared,), out_axes=shared), donate_argnums=0)
            self._chunk_keys = jax.jit(jax.vmap(jax.random.fold_in, in_axes=(0, None)))
        else:
            self._shards = [jax.jit(begin)(_copied(agent.get_state()), keys[0][0])]
            self._advance = jax.jit(advance, static_argnums=(3, 4), donate_argnums=(0, 1), compiler_options=compiler)
            self._clear = jax.jit(clear, donate_argnums=0)
            self._chunk_keys = lambda keys, chunk: jax.random.fold_in(keys[0], chunk)
        self._keys = keys
        self._threads = ThreadPoolExecutor(min(len(keys), _cores()), "jaxdaw-seeds")
        self.chunk = 0
        self.env_steps = 0

    @property
    def state(self) -> LoopState:
        """The state of a single run; a population has `member`."""
        return self._shards[0][0]

    def run(self) -> Report:
        """Runs to the next report."""
        every = self.options.train_every
        phases, learn = (self._warm_up, 0) if self.chunk == 0 and self._warm_up else (self._chunk_phases, every)

        def advance(shard: int) -> Any:
            keys = self._chunk_keys(self._keys[shard], self.chunk)
            state, states = self._advance(*self._shards[shard], keys, phases, learn)
            told = jax.device_get((state.metrics, state.losses, state.agent.train_step))
            self._shards[shard] = self._clear(state), states
            return told

        told = list(self._threads.map(advance, range(len(self._keys))))
        self.chunk += 1
        metrics, losses, train_step = jax.tree.map(lambda *x: np.concatenate(x) if self._population else x[0], *told)
        compute = self.loop.metrics.compute
        members = (
            [jax.tree.map(lambda x, i=i: x[i], metrics) for i in range(len(self.seeds))]
            if self._population
            else [metrics]
        )
        self.env_steps = int(np.mean(metrics.env_steps))  # of one seed
        return Report(
            env_steps=self.env_steps,
            train_step=int(np.mean(train_step)),
            episodes=compute(metrics),
            members=tuple(compute(member) for member in members),
            loss=_mean(losses),
            updates=int(np.sum(losses.updates)),
            refused=int(np.sum(losses.refused)),
            exploration=self._exploration(self.env_steps),
            learning=bool(np.any(losses.updates)),
        )

    def member(self, index: int) -> Any:
        """Returns the agent state of one member of the population."""
        shard = 0
        while index >= len(self._keys[shard]):
            index -= len(self._keys[shard])
            shard += 1
        return jax.tree.map(lambda x: x[index], self._shards[shard][0].agent)

    def collect_weights(self) -> Any:
        """Returns the weights of the agent's policy as they are now; of a population with an axis for its members."""
        weights = [self.agent.policy_weights(state.agent) for state, _ in self._shards]
        return jax.tree.map(lambda *x: jnp.concatenate(x), *weights) if self._population else weights[0]

    def tree(self) -> dict[str, Any]:
        """Returns everything that a checkpoint must hold."""
        states, environments = ([shard[i] for shard in self._shards] for i in (0, 1))
        return {"loop": states, "environment": environments, "counters": {"chunk": np.int64(self.chunk)}}

    def restore(self, tree: dict[str, Any]) -> str | None:
        """Goes on from a checkpoint's tree, exactly: nothing is lost. Returns None."""
        self.chunk = int(tree["counters"]["chunk"])
        states, environments = jax.tree.map(jnp.copy, (tree["loop"], tree["environment"]))
        self._shards = list(zip(states, environments, strict=True))
        env_steps = [np.atleast_1d(jax.device_get(state.metrics.env_steps)) for state in states]
        self.env_steps = int(np.mean(np.concatenate(env_steps)))
        return None


def _dealt(seeds: tuple[int, ...]) -> list[np.ndarray]:
    """Returns the seeds of each program."""
    if jax.default_backend() != "cpu":
        return [np.asarray(seeds)]
    rounds = math.ceil(len(seeds) / (_cores() * _SEEDS_IN_CACHE))
    return np.array_split(seeds, min(rounds * _cores(), len(seeds)))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_SEEDS_IN_CACHE = 8
"""Seeds in one program on a CPU: more of them no longer fit a core's cache, fewer leave its vector units idle."""

_SHARED_CURSOR: Any = (0, None, None)
"""Axes of a population's ReplayState: one cursor for all, see `UniformReplay.add`."""


def make_trainer(
    agent: Agent,
    environment: Environment | JaxEnvironment,
    options: LoopOptions | None = None,
    seed: int = 0,
    num_envs: int = 1,
) -> HostTrainer | JaxTrainer:
    """Returns the trainer for this kind of environment; `num_envs` is for pure ones (a host one knows its own)."""
    options = LoopOptions() if options is None else options
    if isinstance(environment, JaxEnvironment):
        return JaxTrainer(agent, environment, options, (seed,), num_envs)
    return HostTrainer(agent, environment, options, seed)


def fit(
    agent: Agent,
    environment: Environment | JaxEnvironment,
    steps: int,
    options: LoopOptions | None = None,
    seed: int = 0,
    num_envs: int = 1,
    callbacks: tuple[Callable[[Report, Trainer], Any], ...] = (),
) -> Trainer:
    """Trains an agent for a number of environment steps.

    Args:
      agent: the algorithm; holds the trained weights afterwards.
      environment: host (batched) or pure.
      steps: environment steps, over all rows; the last report may go a little beyond.
      options: batch size, replay, ratio of steps to updates.
      seed: of everything random here.
      num_envs: copies of a pure environment; a host one knows its own.
      callbacks: each is called with every `Report` and the trainer; one that returns False ends the training.

    Returns:
      The trainer, from which training can go on.
    """
    trainer = make_trainer(agent, environment, options, seed, num_envs)
    for report in reports(trainer, steps):
        if False in [callback(report, trainer) for callback in callbacks]:
            break
    trainer.sync()
    return trainer


def reports(trainer: Trainer, steps: int):
    """Yields each `Report` until `steps` environment steps were taken or the trainer was stopped."""
    env_steps = trainer.env_steps
    while env_steps < steps and not trainer.stopped:
        report = trainer.run()
        env_steps = report.env_steps
        yield report


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
                    explain(
                        f"{agent.name} was made for another {what} at {path or 'its only leaf'}",
                        expected=str(ours),
                        got=str(other),
                        fix=f"{type(agent).__name__}(environment.time_step_spec(), environment.action_spec, ...)",
                    )
                )


def next_multiple(step: int, every: int) -> int:
    """Returns the first multiple of `every` after `step`; 0 if there is none to wait for."""
    return (step // every + 1) * every if every else 0


def _copied(state: Any) -> Any:
    return jax.tree.map(jnp.copy, state)


def _at(tree: Any, index: Any) -> Any:
    return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, index, keepdims=False), tree)


def _mean(losses: Losses) -> float:
    applied = np.sum(losses.updates) - np.sum(losses.refused)
    return float(np.sum(losses.total) / applied) if applied else float("nan")
