"""An agent that learns from demonstrations, and is evaluated in an environment if there is one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from jaxdaw.agents import BehavioralCloningAgent
from jaxdaw.data import Demonstrations, check, read_demonstrations
from jaxdaw.drivers import run_episodes, time_limit_warning
from jaxdaw.environments import EnvironmentHandle, EnvironmentRecipe, as_environment
from jaxdaw.errors import ConfigError, StorageError
from jaxdaw.policies import Policy
from jaxdaw.training._cloning_trainer import CloningTrainer, num_updates
from jaxdaw.training._environment_job import environment_to_make
from jaxdaw.training._job import Evaluated, Job, JobReport, JobSource, Told, not_described
from jaxdaw.training._observation_scales import normalizing_layers
from jaxdaw.trajectories import time_step_spec


class DemonstrationsSource(JobSource):
    """Demonstrations to learn from.

    Args:
      what: demonstrations, or what `read_demonstrations` reads.
      environment: whose specs they must have, and in which the policy is evaluated: see `open_environment`; None learns
        from the data alone.
      max_episode_steps: a time limit for it; None is its own.
      env_options, wrappers: of an environment given by id, see `EnvironmentSource`.
      columns: for `read_demonstrations`.
      source: where demonstrations that are given as an object came from, to read them again.
      recorded: what an earlier `describe` gave, which these have to agree with.
    """

    OPTIONS: ClassVar[tuple[str, ...]] = ("environment", "env_options", "wrappers", "columns", "source")

    def __init__(
        self,
        what: Any,
        environment: Any = None,
        max_episode_steps: int | None = None,
        env_options: dict[str, Any] | None = None,
        wrappers: Sequence[str] = (),
        columns: Any = None,
        source: str = "",
        recorded: dict[str, Any] | None = None,
    ):
        if isinstance(what, str | Path):
            place = Path(what)
            source = str(place.resolve()) if place.exists() else str(what)
            what = read_demonstrations(what, columns=columns)
        if not isinstance(what, Demonstrations):
            raise ConfigError(
                "these are no demonstrations",
                expected="Demonstrations, or the path of some",
                got=type(what).__name__,
                fix="train('bc', read_demonstrations(path))",
            )
        self._demonstrations, self._source, self._columns = what, source, columns
        self._environment = self._handle = None
        if environment is not None:
            self._environment = environment_to_make(environment, max_episode_steps, env_options, wrappers)
        self.name = Path(source).stem if source else "demonstrations"
        if isinstance(self._environment, EnvironmentRecipe):
            self.modules = self._environment.modules()
        if not source:
            self.why_not_resumable = "it does not say where its demonstrations came from"
        if recorded is not None:
            self._refuse_others(recorded)

    def describe(self) -> dict[str, Any]:
        """Returns the environment, and what the demonstrations are."""
        handle = self._handle
        recipe = None if handle is None else handle.recipe
        return {
            "environment": None if handle is None else handle.name,
            "recipe": None if recipe is None else recipe.to_json(),
            "demonstrations": {"source": self._source, "columns": self._columns, **self._figures()},
        }

    @classmethod
    def reopen(
        cls, described: dict[str, Any], what: Any, environment: Any, max_episode_steps: int | None, directory: Path
    ) -> DemonstrationsSource:
        """Returns the demonstrations that are given, or those that the run names, if they are the same."""
        recorded = described.get("demonstrations")
        if not isinstance(recorded, dict) or not isinstance(recorded.get("source"), str):
            raise StorageError(f"{directory / 'config.json'} describes no demonstrations", expected="'demonstrations'")
        if what is None and not recorded["source"]:
            raise ConfigError(
                f"{directory} does not say where its demonstrations came from",
                expected="demonstrations",
                got="None",
                fix=f"resume({str(directory)!r}, demonstrations)",
            )
        if environment is None and described["environment"]:
            raise not_described(directory, "environment", "demonstrations, environment=environment")
        columns, source = recorded.get("columns"), recorded["source"]
        given = source if what is None else what
        return cls(given, environment, max_episode_steps, columns=columns, source=source, recorded=recorded)

    def _figures(self) -> dict[str, Any]:
        returns = self._demonstrations.returns
        return {
            "episodes": len(self._demonstrations),
            "steps": self._demonstrations.num_steps,
            "mean_return": None if returns is None else float(np.mean(returns)),
        }

    def _refuse_others(self, recorded: dict[str, Any]) -> None:
        figures = self._figures()
        if any(recorded.get(name) != value for name, value in figures.items()):
            raise ConfigError(
                "these demonstrations are not those of the run",
                expected=", ".join(f"{recorded.get(name)} {name}" for name in figures),
                got=", ".join(f"{value} {name}" for name, value in figures.items()),
                cause="data that has changed since.",
                fix="jaxdaw train bc DATA --resume RUN",
            )

    def job(self, config: Any, started: Any, seeds: Sequence[int]) -> DemonstrationsJob:
        """Returns the job of learning from them."""
        handle = None
        if self._environment is not None:
            handle = as_environment(self._environment, min(config.eval_episodes, 10))
            if handle.recipe is None:
                self.why_not_resumable = "its environment was given as an object"
        self._handle = handle
        try:
            return DemonstrationsJob(self._demonstrations, handle, self._source, config, started, seeds[0])
        except BaseException:
            if handle is not None:
                handle.close()
            raise

    def settled(self, config: Any) -> Any:
        """Returns the options with what depends on the actions."""
        return config.for_actions(self._demonstrations.action_spec)


class DemonstrationsJob(Job):
    """Clones a policy, an epoch at a time; the best has the lowest validation loss, or training loss without."""

    unit: ClassVar[str] = "epoch"
    chosen_by: ClassVar[Literal["evaluation", "report"] | None] = "report"
    restores: ClassVar[str] = "weights, optimizer, random keys, place in the epoch, best policy, metrics"

    def __init__(
        self,
        demonstrations: Demonstrations,
        world: EnvironmentHandle | None,
        source: str,
        config: Any,
        started: Any,
        seed: int,
    ):
        place: Any = demonstrations if world is None else world.environment
        specs = place.observation_spec, place.action_spec
        check(demonstrations, *specs).raise_if_faulty(source or "the demonstrations")
        kept = started.validation_episodes(len(demonstrations))
        share = 1.0 - kept / len(demonstrations)
        learn, validation = demonstrations.split(share, seed) if kept else (demonstrations, None)
        length = started.sequence_length if started.network == "rnn" else None
        updates = started.epochs * num_updates(learn, started.batch_size, length, started.epoch_updates)
        layers = normalizing_layers(learn, specs[0]) if started.normalize else None
        described = time_step_spec(specs[0]), specs[1]
        self._agent: BehavioralCloningAgent = started.make_agent(*described, seed, updates, layers)
        self.agent = self._agent
        self._make = lambda: started.make_agent(*described, seed, preprocessing_layers=layers)
        self.trainer = CloningTrainer(
            self._agent, learn, validation, started.batch_size, length, seed, started.epoch_updates, is_checked=True
        )
        self._world, self._config, self._seed, self._started = world, config, seed, started
        self.name = "demonstrations" if world is None else world.name
        self.patience = config.patience
        endless = None if world is None else time_limit_warning(world.environment)
        self.notes = [] if endless is None else [endless]
        self._seconds = 0.0  # of the epoch under way

    @property
    def position(self) -> int:
        """Whole epochs."""
        return self.trainer.epoch

    @property
    def total(self) -> int:
        """Epochs at most."""
        return self._config.epochs

    @property
    def checkpoint_number(self) -> int:
        """Gradient steps."""
        return self.trainer.updates

    def stop(self) -> None:
        """Asks the trainer to return at its next consistent point."""
        self.stopped = True
        self.trainer.stop()

    def run(self) -> JobReport | None:
        """Runs to the end of the epoch."""
        started = time.perf_counter()
        report = self.trainer.run()
        self._seconds += time.perf_counter() - started
        if report is None:
            return None
        row = {"kind": "epoch", "step": report.epoch, "unit": self.unit, "total": self.total, **report._asdict()}
        row["epoch_seconds"], self._seconds = self._seconds, 0.0
        measured = report.validation_loss if self.trainer.validates else report.loss
        return JobReport(
            row=row,
            scalars={
                "Losses/loss": report.loss,
                "Losses/validation": report.validation_loss,
                "Metrics/ActionMatch": report.match,
                "Metrics/ActionError": report.error,
            },
            updates=self.trainer.updates // report.epoch,
            refused=report.refused,
            score=-measured,
        )

    def tree(self) -> dict[str, Any]:
        """Returns the trainer's."""
        return self.trainer.tree()

    def kept(self) -> dict[str, Any]:
        """Returns the time that the epoch under way has taken."""
        return {"seconds": self._seconds}

    def restore(self, tree: dict[str, Any], kept: dict[str, Any]) -> str | None:
        """Restores the trainer; the data has to be there again."""
        self._seconds = kept.get("seconds", 0.0)
        self.trainer.restore(tree)
        return None

    def weights(self) -> Any:
        """Returns the policy's weights."""
        return self._agent.policy_weights(self.trainer.state)

    def sync(self, member: int = 0) -> Policy:
        """Gives the agent the trained state, and returns its policy."""
        del member
        self.trainer.sync()
        return self.agent.policy

    def new_agent(self) -> BehavioralCloningAgent:
        """Returns another agent with these options."""
        return self._make()

    def about(self, step: int) -> dict[str, Any]:
        """Returns environment and epoch."""
        return {"environment": None if self._world is None else self._world.name, "epoch": step}

    @property
    def evaluates(self) -> bool:
        """Whether an environment was given."""
        return self._world is not None

    def evaluate(self, weights: Any, step: int, progress: Told) -> Evaluated:
        """Runs greedy episodes."""
        assert self._world is not None
        episodes, environment = self._config.eval_episodes, self._world.environment
        seed = self._seed + step
        found = run_episodes(self.agent.policy, environment, episodes, seed, weights, progress=progress)
        return Evaluated(found.returns[None], found.cut[None])

    def close(self) -> None:
        """Closes the environment if it was made here."""
        if self._world is not None:
            self._world.close()
