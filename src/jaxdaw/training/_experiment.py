"""One call from an environment's name to a trained, evaluated, saved policy in a run directory."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, overload

import jax
import numpy as np

from jaxdaw.agents import Agent
from jaxdaw.drivers import run_episodes
from jaxdaw.environments import Environment, JaxEnvironment
from jaxdaw.errors import ConfigError, EnvironmentFault, NonFiniteError, StorageError
from jaxdaw.metrics import EpisodeSummary
from jaxdaw.policies import Policy
from jaxdaw.training._bandit import BanditRun, train_bandit
from jaxdaw.training._checkpoint import Checkpointer
from jaxdaw.training._config import CONFIGS, DqnConfig, from_json, replaced, resolved
from jaxdaw.training._directory import how_to_resume, new_directory, read_config, versions, write_json
from jaxdaw.training._environment import make_environment
from jaxdaw.training._fit import make_trainer, reports
from jaxdaw.training._interrupt import Interrupts
from jaxdaw.training._policy_file import load_policy, save_policy
from jaxdaw.training._trainer import Report, Trainer, next_multiple
from jaxdaw.training._writers import MetricsWriter, write_summaries

_REFUSED_CHUNKS = 3
"""Reports in a row in which every gradient step was refused, before training stops."""


@dataclasses.dataclass
class Run:
    """A run: what was trained, how it went, and where it lies.

    Attributes:
      policy: the best policy evaluated, or the final one if none was.
      final_policy: the policy after the last step.
      agent: the agent; None for a population, whose members lie in the run's directories.
      config: the options.
      directory: the run directory, or None if nothing was written.
      evaluations: the rows of every evaluation.
      interrupted: whether the run was stopped before its last step.
    """

    policy: Policy
    final_policy: Policy
    agent: Agent | None
    config: DqnConfig
    directory: Path | None
    evaluations: list[dict[str, Any]]
    interrupted: bool = False


Watcher = Callable[[dict[str, Any]], Any]
"""Called with every row of metrics, as it is written."""


@overload
def train(algorithm: Literal["bandit"], environment: Any, **options: Any) -> BanditRun: ...
@overload
def train(
    algorithm: Literal["dqn"],
    environment: str | Environment | JaxEnvironment,
    *,
    config: DqnConfig | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    watch: Watcher | None = None,
    **options: Any,
) -> Run: ...
@overload
def train(algorithm: str, environment: Any, **options: Any) -> Any: ...
def train(
    algorithm: str,
    environment: Any,
    *,
    config: Any = None,
    seed: int = 0,
    out: str | Path | None = None,
    watch: Watcher | None = None,
    **options: Any,
) -> Any:
    """Trains an agent and returns its run.

    Args:
      algorithm: "dqn"; or "bandit", which is `train_bandit` and returns its `BanditRun`.
      environment: a Gymnasium id, `my_package:MyEnv-v0`, a pure one such as `jax:CartPole-v1`, or an environment; of
        bandits one of `BANDITS`, such as "digits" or "wheel".
      config: the options; None is the defaults.
      seed: of everything random, in `0..2**31 - 1`.
      out: the run directory, which must not hold a run; None writes nothing.
      watch: is called with every row of metrics.
      **options: fields of the config to replace: `steps=50_000`.

    Raises:
      ConfigError: an unknown algorithm or option, or a value outside its range.
      StorageError: `out` already holds a run.
    """
    if algorithm == "bandit":
        return train_bandit(environment, config=config, seed=seed, out=out, watch=watch, **options)
    if algorithm not in CONFIGS:
        raise ConfigError("unknown algorithm", expected=", ".join(sorted({*CONFIGS, "bandit"})), got=repr(algorithm))
    config = replaced(CONFIGS[algorithm]() if config is None else config, options)
    directory = None if out is None else new_directory(Path(out))
    name = environment if isinstance(environment, str) else type(environment).__name__
    if directory is not None:
        write_json(directory / "config.json", resolved(algorithm, name, seed, config))
        write_json(directory / "versions.json", versions())
    return _train(config, environment, seed, directory, watch, resumed=False)


def resume(directory: str | Path, *, steps: int | None = None, watch: Watcher | None = None) -> Run:
    """Goes on with a run from its latest checkpoint.

    Args:
      directory: a run directory.
      steps: the new total of environment steps; None keeps that of the run.
      watch: is called with every row of metrics.

    Raises:
      StorageError: no run or no checkpoint there.
    """
    directory = Path(directory)
    saved = read_config(directory)
    if "seeds" in saved:
        raise ConfigError(
            "a population is not resumed as a whole",
            expected="one member's directory",
            got=str(directory),
            fix=f'for run in {directory}/seed_*; do jaxdaw train dqn --resume "$run"; done',
        )
    if saved["algorithm"] not in CONFIGS:
        raise ConfigError(
            f"{directory} is a run of another kind",
            expected=", ".join(sorted(CONFIGS)),
            got=saved["algorithm"],
            fix=f"jaxdaw train {saved['algorithm']} --resume {directory}",
        )
    config = CONFIGS[saved["algorithm"]](**from_json(saved["options"]))
    if steps is not None:
        config = replaced(config, {"steps": steps})
        write_json(
            directory / "config.json",
            resolved(saved["algorithm"], saved["environment"], saved["seed"], config),
        )
    return _train(config, saved["environment"], saved["seed"], directory, watch, resumed=True)


def run_policy(directory: str | Path, which: str = "best") -> Policy:
    """Returns a run's policy: the best evaluated, or `which="final"`.

    Raises:
      StorageError: the run has no policy yet.
    """
    directory = Path(directory)
    config = read_config(directory)
    mask_key = config["options"].get("mask_key")
    splitter = CONFIGS[config["algorithm"]](**from_json(config["options"])).splitter() if mask_key else None
    for name in ("best_policy", "policy") if which == "best" else ("policy",):
        if (directory / name).is_dir():
            return load_policy(directory / name, observation_and_action_constraint_splitter=splitter)
    raise StorageError(
        f"{directory} holds no policy yet",
        expected="best_policy or policy",
        got="none",
        fix="jaxdaw train --resume RUN",
    )


def _train(
    config: DqnConfig, environment: Any, seed: int, directory: Path | None, watch: Watcher | None, resumed: bool
) -> Run:
    world = make_environment(environment, config, config.num_envs, seed)
    session = None
    try:
        agent = config.make_agent(world.time_step_spec(), world.action_spec, seed)
        trainer = make_trainer(agent, world, config.loop_options(), seed, config.num_envs)
        session = _Session(config, environment, seed, directory, watch, trainer)
        if resumed:
            session.restore()
        return session.go()
    finally:
        if session is not None and session.writer is not None:
            session.writer.close()
        if isinstance(world, Environment):
            world.close()


class _Session:
    """A run under way: the trainer, its evaluations, and what is written."""

    def __init__(
        self,
        config: DqnConfig,
        environment: Any,
        seed: int,
        directory: Path | None,
        watch: Watcher | None,
        trainer: Trainer,
    ):
        self.config, self.environment, self.seed = config, environment, seed
        self.directory, self.trainer = directory, trainer
        self._watchers = [] if watch is None else [watch]
        self.writer = None if directory is None else MetricsWriter(directory)
        self.checkpointer = None if directory is None else Checkpointer(directory / "checkpoints", keep=2)
        self.evaluations: list[dict[str, Any]] = []
        self.best = -np.inf
        self._best_weights: Any = None
        self._evaluator: Any = None
        self._started, self._seconds_before = time.perf_counter(), 0.0
        self._refused = 0
        self._evaluates = False

    def go(self) -> Run:
        config, trainer = self.config, self.trainer
        next_eval = next_multiple(trainer.env_steps, config.eval_every)
        next_checkpoint = next_multiple(trainer.env_steps, config.checkpoint_every)
        clock = time.perf_counter()
        before = trainer.env_steps
        try:
            with Interrupts(trainer.stop, lambda: trainer.waits or self._evaluates):
                for report in reports(trainer, config.steps):
                    now = time.perf_counter()
                    self._report(report, (report.env_steps - before) / max(now - clock, 1e-9))
                    before = report.env_steps
                    last = report.env_steps >= config.steps
                    due = config.eval_every and (last or report.env_steps >= next_eval)
                    if due and report.learning and not trainer.stopped:
                        next_eval = next_multiple(report.env_steps, config.eval_every)
                        self._evaluate(report.env_steps)
                    if config.checkpoint_every and report.env_steps >= next_checkpoint and not last:
                        next_checkpoint = next_multiple(report.env_steps, config.checkpoint_every)
                        self._checkpoint()
                    clock = time.perf_counter()
        except EnvironmentFault as fault:
            if self.directory is not None:
                self._checkpoint()
                fault.add_note(how_to_resume("dqn", self.directory))
            raise
        trainer.sync()
        final = trainer.agent.policy
        if self.directory is not None:
            save_policy(final, self.directory / "policy", {"environment": self._name, "step": trainer.env_steps})
            self._checkpoint()  # last: it is the largest, and a disk may be full
        return Run(
            policy=self._best_policy(final),
            final_policy=final,
            agent=trainer.agent,
            config=config,
            directory=self.directory,
            evaluations=self.evaluations,
            interrupted=trainer.stopped,
        )

    def restore(self) -> None:
        assert self.checkpointer is not None
        _, tree, kept = self.checkpointer.restore(self.trainer.tree())
        lost = self.trainer.restore(tree)
        self.best = kept["best"] if kept["best"] is not None else -np.inf
        self.evaluations = kept["evaluations"]
        self._seconds_before = kept["seconds"]
        self._emit(
            {
                "kind": "resume",
                "step": self.trainer.env_steps,
                "restored": "weights, target, optimizer, random keys, counters, replay, metrics",
                "lost": lost,
            }
        )

    @property
    def _name(self) -> str:
        return self.environment if isinstance(self.environment, str) else type(self.environment).__name__

    def _seconds(self) -> float:
        return self._seconds_before + time.perf_counter() - self._started

    def _emit(self, row: dict[str, Any]) -> None:
        if self.writer is not None:
            self.writer.write(row)
        for watch in self._watchers:
            watch(row)

    def _report(self, report: Report, rate: float) -> None:
        episodes = report.episodes
        row = train_row(report, episodes, rate, self._seconds())
        self._emit(row)
        if self.writer is not None:
            scalars = {
                "Metrics/AverageReturn": episodes.mean_return,
                "Metrics/AverageEpisodeLength": episodes.mean_length,
                "Metrics/EnvironmentSteps": float(report.env_steps),
                "Losses/loss": report.loss,
                "Metrics/Exploration": report.exploration,
                "Metrics/StepsPerSecond": rate,
            }
            self.writer.scalars({k: v for k, v in scalars.items() if v is not None}, report.env_steps)
            for action, share in enumerate(episodes.action_frequencies):
                self.writer.scalars({f"Metrics/ActionFrequency/{action}": float(share)}, report.env_steps)
            summaries = self.trainer.state.agent.summaries
            if summaries and report.train_step:
                interval = self.config.summary_interval
                write_summaries(
                    self.writer.events, jax.device_get(summaries), (report.train_step - 1) // interval * interval
                )
        self._watch_refused(report)

    def _watch_refused(self, report: Report) -> None:
        if not report.refused:
            self._refused = 0
            return
        self._refused = self._refused + 1 if report.refused == report.updates else 0
        self._emit({"kind": "warning", "step": report.env_steps, "refused": report.refused, "updates": report.updates})
        if self._refused >= _REFUSED_CHUNKS:
            raise NonFiniteError(
                f"every gradient step of the last {_REFUSED_CHUNKS} reports was refused: not finite",
                got=f"{report.refused} of {report.updates} at step {report.env_steps}",
                cause="rewards or observations that are not finite, or a learning rate that is too high.",
                fix="jaxdaw doctor ENVIRONMENT; or --gradient-clipping 10 --reward-scale-factor 0.1",
            )

    def _evaluate(self, step: int) -> None:
        if self._evaluator is None:
            self._evaluator = make_environment(
                self.environment, self.config, min(self.config.eval_episodes, 10), self.seed + 1, fresh=True
            )
        weights = self.trainer.collect_weights()
        self._evaluates = True
        episodes = run_episodes(self.trainer.agent.policy, self._evaluator, self.config.eval_episodes, step, weights)
        self._evaluates = False
        row = evaluation_row(step, episodes.returns, self.best)
        mean, best = row["mean_return"], row["best"]
        self.evaluations.append(row)
        if best:
            self.best = mean
            self._best_weights = jax.tree.map(np.asarray, jax.device_get(weights))
            if self.directory is not None:
                self.trainer.sync()
                note = {"environment": self._name, "step": step, "mean_return": mean}
                save_policy(self.trainer.agent.policy, self.directory / "best_policy", note)
        self._emit(row)
        if self.writer is not None:
            self.writer.scalars({"Eval/AverageReturn": mean}, step)

    def _checkpoint(self) -> None:
        assert self.checkpointer is not None or self.directory is None
        if self.checkpointer is not None:
            kept = {
                "best": None if self.best == -np.inf else self.best,
                "evaluations": self.evaluations,
                "seconds": self._seconds(),
            }
            self.checkpointer.save(self.trainer.env_steps, self.trainer.tree(), kept)

    def _best_policy(self, final: Policy) -> Policy:
        if self._best_weights is None:  # none was better since the run was resumed
            return final if self.directory is None else run_policy(self.directory)
        agent = self.config.make_agent(self.trainer.agent.time_step_spec, self.trainer.agent.action_spec, self.seed)
        for network in agent.policy._networks():
            network.set_weights(jax.tree.map(jax.numpy.asarray, self._best_weights))
        return agent.policy


def train_row(report: Report, episodes: EpisodeSummary, rate: float, seconds: float) -> dict[str, Any]:
    """Returns the row of metrics of a report."""
    return {
        "kind": "train",
        "step": report.env_steps,
        "train_step": report.train_step,
        "episodes": episodes.episodes,
        "mean_return": episodes.mean_return,
        "mean_length": episodes.mean_length,
        "loss": report.loss,
        "epsilon": report.exploration,
        "steps_per_second": rate,
        "seconds": seconds,
    }


def evaluation_row(step: int, returns: np.ndarray, best: float) -> dict[str, Any]:
    """Returns the row of metrics of an evaluation; `best` is the best mean return before it."""
    mean = float(np.mean(returns))
    return {
        "kind": "eval",
        "step": step,
        "episodes": len(returns),
        "mean_return": mean,
        "std_return": float(np.std(returns)),
        "returns": [float(r) for r in returns],
        "best": mean >= best,
    }
