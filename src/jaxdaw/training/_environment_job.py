"""An agent that learns in an environment: a single seed, or a population as one `vmap`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.agents import Agent
from jaxdaw.drivers import episode_budget, episodes_of, run_episodes, time_limit_warning
from jaxdaw.environments import (
    Environment,
    EnvironmentHandle,
    EnvironmentRecipe,
    JaxEnvironment,
    as_environment,
    is_pure,
)
from jaxdaw.errors import ConfigError, StorageError
from jaxdaw.metrics import EpisodeSummary
from jaxdaw.policies import Policy
from jaxdaw.training._fit import make_trainer
from jaxdaw.training._intervals import report_interval
from jaxdaw.training._jax_trainer import JaxTrainer
from jaxdaw.training._job import Evaluated, Job, JobReport, JobSource, Told, not_described
from jaxdaw.training._trainer import LoopOptions, Report


class EnvironmentConfig(Protocol):
    """Options of an algorithm that learns in an environment."""

    @property
    def steps(self) -> int: ...
    @property
    def num_envs(self) -> int: ...
    @property
    def max_episode_steps(self) -> int: ...
    @property
    def eval_every(self) -> int: ...
    @property
    def eval_episodes(self) -> int: ...
    @property
    def report_every(self) -> int: ...
    @property
    def checkpoint_every(self) -> int: ...
    @property
    def summary_interval(self) -> int: ...
    def loop_options(self) -> LoopOptions: ...
    def make_agent(self, time_step_spec: Any, action_spec: Any, seed: int = 0) -> Agent: ...


class EnvironmentSource(JobSource):
    """An environment to learn in.

    Args:
      what: see `as_environment`; or a class of environments.
      max_episode_steps: a time limit; None is the environment's own.
      env_options: keyword arguments of the environment's constructor, of one given by id.
      wrappers: Gymnasium wrappers around one given by id, the innermost first, as `module:Class`.

    Raises:
      ConfigError: options or wrappers for an environment that is given as an object; see `EnvironmentRecipe`.
    """

    OPTIONS: ClassVar[tuple[str, ...]] = ("env_options", "wrappers")

    def __init__(
        self,
        what: Any,
        max_episode_steps: int | None = None,
        env_options: dict[str, Any] | None = None,
        wrappers: Sequence[str] = (),
    ):
        self._what = environment_to_make(what, max_episode_steps, env_options, wrappers)
        self._handle: EnvironmentHandle | None = None
        self._rows: int | None = None
        if isinstance(self._what, EnvironmentRecipe):
            self.name, self.modules = self._what.id, self._what.modules()

    def refuse_idle(self, given: Collection[str]) -> None:
        """Refuses `num_envs` of an environment that has the rows that it has."""
        if "num_envs" in given and isinstance(self._what, gymnasium.Env | gymnasium.vector.VectorEnv | Environment):
            raise ConfigError(
                "an environment that is given as an object has the rows that it has: num_envs has no effect",
                expected="no num_envs, or an id or function of which several are made",
                got=type(self._what).__name__,
                fix="train(..., lambda: make_environment(), num_envs=...)",
            )

    @property
    def is_one_program(self) -> bool:
        """Whether the environment is pure."""
        what = self._what
        return is_pure(what.id if isinstance(what, EnvironmentRecipe) else what)

    def describe(self) -> dict[str, Any]:
        """Returns the environment's name and recipe, once there has been a job."""
        assert self._handle is not None
        recipe, environment = self._handle.recipe, self._handle.environment
        rows = environment.batch_size if isinstance(environment, Environment) else None
        return {
            "environment": self._handle.name,
            "recipe": None if recipe is None else recipe.to_json(),
            "rows": rows,
        }

    @classmethod
    def reopen(
        cls, described: dict[str, Any], what: Any, environment: Any, max_episode_steps: int | None, directory: Path
    ) -> EnvironmentSource:
        """Returns the environment that is given, or that of the run's recipe."""
        if what is None and environment is None:
            raise not_described(directory, "environment", "environment")
        source = cls(environment if what is None else what, max_episode_steps)
        rows = described.get("rows")
        if rows is not None and (type(rows) is not int or not 1 <= rows <= 100_000):
            raise StorageError(f"{directory / 'config.json'} describes no run", expected="'rows'", got=str(rows)[:40])
        source._rows = rows
        return source

    def job(self, config: Any, started: Any, seeds: Sequence[int]) -> EnvironmentJob:
        """Returns the job of learning in it."""
        handle = self._handle = as_environment(self._what, self._rows or config.num_envs)
        self.name = handle.name
        if handle.recipe is None:
            self.why_not_resumable = "its environment was given as an object, and its specs do not tell how it is made"
        try:
            return EnvironmentJob(handle, config, started, seeds)
        except BaseException:
            handle.close()
            raise


def environment_to_make(
    what: Any, max_episode_steps: int | None, env_options: dict[str, Any] | None, wrappers: Sequence[str]
) -> Any:
    """Returns what `as_environment` takes, with a time limit, options and wrappers where they are given.

    Raises:
      ConfigError: what cannot be given them.
    """
    if isinstance(what, str):
        return EnvironmentRecipe(what, env_options or {}, tuple(wrappers), max_episode_steps)
    if env_options or wrappers:
        raise ConfigError(
            "options and wrappers are for an environment given by its id",
            expected="no env_options, no wrappers",
            got=type(what).__name__,
            fix="a function that makes it: lambda: Wrapper(MyEnv(...))",
        )
    if isinstance(what, type) and issubclass(what, Environment | JaxEnvironment):
        what = what()
    if max_episode_steps is None or isinstance(what, EnvironmentRecipe):
        return what

    def limited(made: Any) -> Any:
        if isinstance(made, gymnasium.Env):
            return gymnasium.wrappers.TimeLimit(made, max_episode_steps)
        raise ConfigError(
            "this environment cannot be given a time limit",
            expected="an id, a gymnasium.Env, or a function that makes one",
            got=type(made).__name__,
            fix="an environment with a limit of its own, and max_episode_steps=0",
        )

    if isinstance(what, gymnasium.Env | gymnasium.vector.VectorEnv | Environment | JaxEnvironment):
        return limited(what)
    return lambda: limited(what())


def _not_below(config: Any, name: str, phase: int) -> int:
    """Returns an interval of the options; a default that is shorter than a learning phase becomes one."""
    (default,) = (field.default for field in dataclasses.fields(config) if field.name == name)
    value = getattr(config, name)
    return phase if value == default and 0 < value < phase else value


class EnvironmentJob(Job):
    """Acts, records and learns in an environment, and is evaluated in another of the same making."""

    unit: ClassVar[str] = "step"
    chosen_by: ClassVar[Literal["evaluation", "report"] | None] = "evaluation"
    refused_reports: ClassVar[int] = 3
    refused_fix: ClassVar[str] = "jaxdaw doctor ENVIRONMENT; or --gradient-clipping 10 --reward-scale-factor 0.1"
    restores: ClassVar[str] = "weights, target, optimizer, random keys, counters, replay, metrics"

    def __init__(
        self, world: EnvironmentHandle, config: EnvironmentConfig, started: EnvironmentConfig, seeds: Sequence[int]
    ):
        self._world, self._config, self._started, self._seeds = world, config, started, tuple(seeds)
        environment = world.environment
        rows = environment.batch_size if isinstance(environment, Environment) else config.num_envs
        options = started.loop_options()
        phase = rows * options.train_every
        wanted = {name: _not_below(config, name, phase) for name in ("report_every", "eval_every", "checkpoint_every")}
        every = report_interval(phase, started.steps, **wanted)
        options = dataclasses.replace(
            options, report_every=every, learning_starts=min(options.learning_starts, started.steps)
        )
        specs = environment.time_step_spec(), environment.action_spec
        self._make = lambda: started.make_agent(*specs, self._seeds[0])
        self.agent = self._make()
        if len(seeds) > 1:
            assert isinstance(environment, JaxEnvironment)
            self.trainer = JaxTrainer(self.agent, environment, options, self._seeds, rows)
        else:
            self.trainer = make_trainer(self.agent, environment, options, self._seeds[0], rows)
        self.name, self.members, self.notes = world.name, len(seeds), []
        self._another = world.maker if config.eval_every else None
        self._evaluator: Any = None
        self._slack = every // 2
        if started.loop_options().learning_starts >= config.steps:
            first = f"learning_starts is {started.loop_options().learning_starts}, and the run has {config.steps} steps"
            self.notes.append(f"next to nothing is learned: {first}. --learning-starts N begins sooner.")
        endless = time_limit_warning(environment)
        if endless is not None:
            self.notes.append(endless)
        if config.eval_every and self._another is None:
            self.notes.append(
                f"{world.name} cannot be made again, so it is not evaluated. A function that makes it can."
            )

    @property
    def position(self) -> int:
        """Environment steps so far, of one member."""
        return self.trainer.env_steps

    @property
    def total(self) -> int:
        """Environment steps of the run."""
        return self._config.steps

    @property
    def slack(self) -> int:
        """Half of the steps between two reports."""
        return self._slack

    @property
    def waits(self) -> bool:  # type: ignore[override]  # asked of the trainer
        """Whether the environment is stepping."""
        return self.trainer.waits

    def stop(self) -> None:
        """Asks the trainer to return at its next consistent point."""
        self.stopped = True
        self.trainer.stop()

    def run(self) -> JobReport:
        """Runs to the next report."""
        before, started = self.trainer.env_steps, time.perf_counter()
        report = self.trainer.run()
        rate = (report.env_steps - before) * self.members / max(time.perf_counter() - started, 1e-9)
        episodes = report.episodes
        scalars: dict[str, float | None] = {
            "Metrics/AverageReturn": episodes.mean_return,
            "Metrics/AverageEpisodeLength": episodes.mean_length,
            "Metrics/EnvironmentSteps": float(report.env_steps),
            "Losses/loss": report.loss,
            "Metrics/Exploration": report.exploration,
            "Metrics/StepsPerSecond": rate,
        }
        for action, share in enumerate(episodes.action_frequencies):
            scalars[f"Metrics/ActionFrequency/{action}"] = float(share)
        summaries = None
        if report.train_step and self.members == 1 and self.trainer.state.agent.summaries:
            interval = self._started.summary_interval
            at = (report.train_step - 1) // interval * interval
            summaries = at, jax.device_get(self.trainer.state.agent.summaries)
        return JobReport(
            row=self._row(report, episodes, rate),
            members=[self._row(report, one, rate) for one in report.members] if self.members > 1 else (),
            scalars=scalars,
            updates=report.updates,
            refused=report.refused,
            summaries=summaries,
        )

    def _row(self, report: Report, episodes: EpisodeSummary, rate: float) -> dict[str, Any]:
        return {
            "kind": "train",
            "step": report.env_steps,
            "unit": self.unit,
            "total": self.total,
            "train_step": report.train_step,
            "episodes": episodes.episodes,
            "mean_return": episodes.mean_return,
            "mean_length": episodes.mean_length,
            "loss": report.loss,
            "epsilon": report.exploration,
            "steps_per_second": rate,
        }

    def tree(self) -> dict[str, Any]:
        """Returns the trainer's."""
        return self.trainer.tree()

    def restore(self, tree: dict[str, Any], kept: dict[str, Any]) -> str | None:
        """Restores the trainer."""
        del kept
        return self.trainer.restore(tree)

    def weights(self) -> Any:
        """Returns the weights of the greedy policy."""
        return self.trainer.collect_weights()

    def sync(self, member: int = 0) -> Policy:
        """Gives the agent the state of a member, and returns its policy."""
        if self.members == 1:
            self.trainer.sync()
        else:
            assert isinstance(self.trainer, JaxTrainer)
            self.agent.set_state(jax.tree.map(jnp.copy, self.trainer.member(member)))
        return self.agent.policy

    def new_agent(self) -> Agent:
        """Returns another agent with these options."""
        return self._make()

    def about(self, step: int) -> dict[str, Any]:
        """Returns environment and step."""
        return {"environment": self.name, "step": step}

    @property
    def evaluates(self) -> bool:
        """Whether another environment of the same making can be had."""
        return self._another is not None

    def evaluate(self, weights: Any, step: int, progress: Told) -> Evaluated:
        """Runs greedy episodes, the same ones for every member; the seed is the step."""
        episodes = self._config.eval_episodes
        if self.members > 1:
            if self._evaluator is None:
                self._evaluator = self._population_evaluator(episodes)
            returns, ended = jax.device_get(self._evaluator(weights, np.uint32(step)))
            return Evaluated(np.asarray(returns, np.float64), ~ended)
        if self._evaluator is None:
            assert self._another is not None
            self._evaluator = self._another(min(episodes, 10))
        found = run_episodes(self.agent.policy, self._evaluator, episodes, step, weights, progress=progress)
        return Evaluated(found.returns[None], found.cut[None])

    def _population_evaluator(self, episodes: int) -> Any:
        environment: Any = self._world.environment
        policy, most = self.agent.policy, episode_budget(environment)

        @jax.jit
        def evaluate(weights: Any, seed: Any) -> Any:
            key = jax.random.key(seed)

            def one(weights: Any) -> Any:
                returns, _, ended = episodes_of(policy, environment, episodes, most, weights, key)
                return returns, ended

            return jax.vmap(one)(weights)

        return evaluate

    def close(self) -> None:
        """Closes the environments that were made here."""
        if isinstance(self._evaluator, Environment):
            self._evaluator.close()
        self._world.close()
