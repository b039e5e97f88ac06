"""One call from an environment's name to a trained, evaluated, saved policy in a run directory."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import time
import warnings
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdaw import environments
from jaxdaw.agents import Agent
from jaxdaw.drivers import run_episodes
from jaxdaw.environments import Environment, GymnasiumEnvironment, JaxEnvironment
from jaxdaw.errors import ConfigError, NonFiniteError, StorageError, explain
from jaxdaw.policies import Policy
from jaxdaw.training._checkpoint import Checkpointer
from jaxdaw.training._config import CONFIGS, DqnConfig
from jaxdaw.training._interrupt import Interrupts
from jaxdaw.training._policy_file import load_policy, save_policy
from jaxdaw.training._trainer import HostTrainer, JaxTrainer, Report, Trainer, make_trainer, reports
from jaxdaw.training._writers import MetricsWriter, write_summaries

FORMAT = 1
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


def train(
    algorithm: str,
    environment: str | Environment | JaxEnvironment,
    *,
    config: DqnConfig | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    watch: Watcher | None = None,
    **options: Any,
) -> Run:
    """Trains an agent and returns its run.

    Args:
      algorithm: "dqn".
      environment: a Gymnasium id, `my_package:MyEnv-v0`, a pure one such as `jax:CartPole-v1`, or an environment.
      config: the options; None is the defaults.
      seed: of everything random, in `0..2**31 - 1`.
      out: the run directory, which must not hold a run; None writes nothing.
      watch: is called with every row of metrics.
      **options: fields of the config to replace: `steps=50_000`.

    Raises:
      ConfigError: an unknown algorithm or option, or a value outside its range.
      StorageError: `out` already holds a run.
    """
    if algorithm not in CONFIGS:
        raise ConfigError(explain("unknown algorithm", expected=", ".join(sorted(CONFIGS)), got=repr(algorithm)))
    config = _replaced(CONFIGS[algorithm]() if config is None else config, options)
    directory = None if out is None else _new_directory(Path(out))
    name = environment if isinstance(environment, str) else type(environment).__name__
    if directory is not None:
        _write_json(directory / "config.json", _resolved(algorithm, name, seed, config))
        _write_json(directory / "versions.json", versions())
    return _train(config, environment, seed, directory, watch, resumed=False)


def train_seeds(
    algorithm: str,
    environment: str,
    seeds: int,
    *,
    config: DqnConfig,
    seed: int = 0,
    out: str | Path,
    watch: Watcher | None = None,
) -> list[Run]:
    """Trains the same thing from several seeds: as one `vmap` where the environment is pure, else in turn.

    Args:
      seeds: how many; they are `seed, seed + 1, ...`.
      out: the parent directory; member i lies in `seed_i`. Other arguments are those of `train`.
    """
    parent = _new_directory(Path(out))
    _write_json(parent / "config.json", {**_resolved(algorithm, environment, seed, config), "seeds": seeds})
    _write_json(parent / "versions.json", versions())
    members = list(range(seed, seed + seeds))
    if environments.is_pure(environment):
        return _train_population(algorithm, environment, members, config, parent, watch)
    runs = []
    for member in members:
        run = train(algorithm, environment, config=config, seed=member, out=parent / f"seed_{member}", watch=watch)
        runs.append(run)
        if run.interrupted:
            break
    return runs


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
    resolved = read_config(directory)
    if "seeds" in resolved:
        raise ConfigError(
            explain("a population is not resumed as a whole", expected="one member's directory", got=str(directory))
        )
    config = CONFIGS[resolved["algorithm"]](**_tuples(resolved["options"]))
    if steps is not None:
        config = _replaced(config, {"steps": steps})
        _write_json(directory / "config.json", _resolved(resolved["algorithm"], resolved["environment"], resolved["seed"], config))
    return _train(config, resolved["environment"], resolved["seed"], directory, watch, resumed=True)


def read_config(directory: Path) -> dict[str, Any]:
    """Returns a run's resolved config.

    Raises:
      StorageError: the directory holds no run.
    """
    path = Path(directory) / "config.json"
    if not path.is_file():
        raise StorageError(
            explain(
                f"{directory} holds no run", expected="a directory with config.json", got="none", fix="jaxdaw train dqn CartPole-v1"
            )
        )
    return json.loads(path.read_text(encoding="utf-8"))


def run_policy(directory: str | Path, which: str = "best") -> Policy:
    """Returns a run's policy: the best evaluated, or `which="final"`.

    Raises:
      StorageError: the run has no policy yet.
    """
    directory = Path(directory)
    config = read_config(directory)
    mask_key = config["options"].get("mask_key")
    splitter = CONFIGS[config["algorithm"]](**_tuples(config["options"])).splitter() if mask_key else None
    for name in ("best_policy", "policy") if which == "best" else ("policy",):
        if (directory / name).is_dir():
            return load_policy(directory / name, observation_and_action_constraint_splitter=splitter)
    raise StorageError(
        explain(f"{directory} holds no policy yet", expected="best_policy or policy", got="none", fix="jaxdaw train --resume RUN")
    )


def versions() -> dict[str, str]:
    """Returns the versions that a run depends on."""
    packages = ("jaxdaw", "jax", "jaxlib", "flax", "optax", "gymnasium", "numpy")
    found = {name: metadata.version(name) for name in packages}
    return {"python": platform.python_version(), "platform": platform.platform(), "device": jax.devices()[0].device_kind, **found}


# One run.


def _train(
    config: DqnConfig, environment: Any, seed: int, directory: Path | None, watch: Watcher | None, resumed: bool
) -> Run:
    world = _make_environment(environment, config, config.num_envs, seed)
    try:
        agent = config.make_agent(world.time_step_spec(), world.action_spec, seed)
        trainer = make_trainer(agent, world, config.loop_options(), seed, config.num_envs)
        session = _Session(config, environment, seed, directory, watch, trainer)
        if resumed:
            session.restore()
        return session.go()
    finally:
        if isinstance(world, Environment):
            world.close()


class _Session:
    """A run under way: the trainer, its evaluations, and what is written."""

    def __init__(
        self, config: DqnConfig, environment: Any, seed: int, directory: Path | None, watch: Watcher | None, trainer: Trainer
    ):
        self.config, self.environment, self.seed, self.directory, self.trainer = config, environment, seed, directory, trainer
        self._watchers = [] if watch is None else [watch]
        self.writer = None if directory is None else MetricsWriter(directory)
        self.checkpointer = None if directory is None else Checkpointer(directory / "checkpoints", keep=2)
        self.evaluations: list[dict[str, Any]] = []
        self.best = -np.inf
        self._best_weights: Any = None
        self._evaluator: Any = None
        self._started, self._seconds_before = time.perf_counter(), 0.0
        self._refused = 0

    def go(self) -> Run:
        config, trainer = self.config, self.trainer
        next_eval = _next(trainer.env_steps, config.eval_every)
        next_checkpoint = _next(trainer.env_steps, config.checkpoint_every)
        clock = time.perf_counter()
        before = trainer.env_steps
        with Interrupts(trainer.stop):
            for report in reports(trainer, config.steps):
                now = time.perf_counter()
                self._report(report, (report.env_steps - before) / max(now - clock, 1e-9))
                before = report.env_steps
                last = report.env_steps >= config.steps
                if config.eval_every and report.learning and (last or report.env_steps >= next_eval) and not trainer.stopped:
                    next_eval = _next(report.env_steps, config.eval_every)
                    self._evaluate(report.env_steps)
                if config.checkpoint_every and report.env_steps >= next_checkpoint and not last:
                    next_checkpoint = _next(report.env_steps, config.checkpoint_every)
                    self._checkpoint()
                clock = time.perf_counter()
        trainer.sync()
        final = trainer.agent.policy
        if self.directory is not None:
            self._checkpoint()
            save_policy(final, self.directory / "policy", {"environment": self._name, "step": trainer.env_steps})
        if self.writer is not None:
            self.writer.close()
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
        assert not isinstance(episodes, list)
        row = {
            "kind": "train",
            "step": report.env_steps,
            "train_step": report.train_step,
            "episodes": episodes.episodes,
            "mean_return": episodes.mean_return,
            "mean_length": episodes.mean_length,
            "loss": report.loss,
            "epsilon": report.exploration,
            "steps_per_second": rate,
            "seconds": self._seconds(),
        }
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
                write_summaries(self.writer.events, jax.device_get(summaries), (report.train_step - 1) // interval * interval)
        self._watch_refused(report)

    def _watch_refused(self, report: Report) -> None:
        if not report.refused:
            self._refused = 0
            return
        self._refused = self._refused + 1 if report.refused == report.updates else 0
        self._emit({"kind": "warning", "step": report.env_steps, "refused": report.refused, "updates": report.updates})
        if self._refused >= _REFUSED_CHUNKS:
            raise NonFiniteError(
                explain(
                    f"every gradient step of the last {_REFUSED_CHUNKS} reports was refused: loss or gradient not finite",
                    got=f"{report.refused} of {report.updates} at step {report.env_steps}",
                    cause="rewards or observations that are not finite, or a learning rate that is too high.",
                    fix="jaxdaw doctor ENVIRONMENT; or --gradient-clipping 10 --reward-scale-factor 0.1",
                )
            )

    def _evaluate(self, step: int) -> None:
        if self._evaluator is None:
            self._evaluator = _make_environment(
                self.environment, self.config, min(self.config.eval_episodes, 10), self.seed + 1, fresh=True
            )
        weights = self.trainer.collect_weights()
        episodes = run_episodes(self.trainer.agent.policy, self._evaluator, self.config.eval_episodes, step, weights)
        mean = float(np.mean(episodes.returns))
        best = mean >= self.best
        row = {
            "kind": "eval",
            "step": step,
            "episodes": len(episodes.returns),
            "mean_return": mean,
            "std_return": float(np.std(episodes.returns)),
            "returns": [float(r) for r in episodes.returns],
            "best": best,
        }
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
        if self._best_weights is None:
            return final
        agent = self.config.make_agent(self.trainer.agent.time_step_spec, self.trainer.agent.action_spec, self.seed)
        for network in agent.policy._networks():
            network.set_weights(jax.tree.map(jax.numpy.asarray, self._best_weights))
        return agent.policy


# A population.


def _train_population(
    algorithm: str, environment: str, seeds: list[int], config: DqnConfig, parent: Path, watch: Watcher | None
) -> list[Run]:
    world = environments.make(environment)
    agent = config.make_agent(world.time_step_spec(), world.action_spec, seeds[0])
    trainer = JaxTrainer(agent, world, config.loop_options(), tuple(seeds), config.num_envs)
    sessions = []
    for seed in seeds:
        directory = _new_directory(parent / f"seed_{seed}")
        _write_json(directory / "config.json", _resolved(algorithm, environment, seed, config))
        _write_json(directory / "versions.json", versions())
        sessions.append((MetricsWriter(directory), directory))
    evaluate = _population_evaluator(agent, world, config.eval_episodes)
    best = np.full(len(seeds), -np.inf)
    evaluations: list[list[dict[str, Any]]] = [[] for _ in seeds]
    next_eval, before, clock, started = config.eval_every, 0, time.perf_counter(), time.perf_counter()
    with Interrupts(trainer.stop):
        for report in reports(trainer, config.steps):
            rate = (report.env_steps - before) * len(seeds) / max(time.perf_counter() - clock, 1e-9)
            before = report.env_steps
            for (writer, _), episodes in zip(sessions, report.episodes, strict=True):
                row = {
                    "kind": "train",
                    "step": episodes.env_steps,
                    "train_step": report.train_step,
                    "episodes": episodes.episodes,
                    "mean_return": episodes.mean_return,
                    "mean_length": episodes.mean_length,
                    "loss": report.loss,
                    "epsilon": report.exploration,
                    "steps_per_second": rate,
                    "seconds": time.perf_counter() - started,
                }
                writer.write(row)
            if watch is not None:
                means = [e.mean_return for e in report.episodes if e.episodes]
                watch({**row, "step": report.env_steps, "mean_return": float(np.mean(means)) if means else float("nan")})
            if config.eval_every and report.learning and (report.env_steps >= next_eval or report.env_steps >= config.steps):
                next_eval = _next(report.env_steps, config.eval_every)
                returns = evaluate(trainer.collect_weights(), report.env_steps)
                for i, (writer, directory) in enumerate(sessions):
                    mean = float(returns[i].mean())
                    row = {
                        "kind": "eval",
                        "step": report.env_steps,
                        "episodes": returns.shape[1],
                        "mean_return": mean,
                        "std_return": float(returns[i].std()),
                        "returns": [float(r) for r in returns[i]],
                        "best": bool(mean >= best[i]),
                    }
                    evaluations[i].append(row)
                    writer.write(row)
                    if row["best"]:
                        best[i] = mean
                        agent.set_state(trainer.member(i))
                        note = {"environment": environment, "step": report.env_steps, "mean_return": mean}
                        save_policy(agent.policy, directory / "best_policy", note)
                if watch is not None:
                    watch({**row, "mean_return": float(returns.mean()), "best": False})
            clock = time.perf_counter()
    runs = []
    for i, (writer, directory) in enumerate(sessions):
        writer.close()
        agent.set_state(trainer.member(i))
        save_policy(agent.policy, directory / "policy", {"environment": environment, "step": trainer.env_steps})
        runs.append(
            Run(run_policy(directory), load_final(directory), None, config, directory, evaluations[i], trainer.stopped)
        )
    return runs


def load_final(directory: Path) -> Policy:
    """Returns the policy after the run's last step."""
    return run_policy(directory, "final")


def _population_evaluator(agent: Agent, environment: JaxEnvironment, episodes: int) -> Callable[[Any, int], np.ndarray]:
    from jaxdaw.drivers import episodes_of

    @jax.jit
    def evaluate(weights: Any, seed: Any) -> Any:
        key = jax.random.key(seed)
        return jax.vmap(lambda w: episodes_of(agent.policy, environment, episodes, 100_000, w, key)[0])(weights)

    return lambda weights, seed: np.asarray(evaluate(weights, np.uint32(seed)))


# Environments, directories, options.


def _make_environment(environment: Any, config: DqnConfig, num_envs: int, seed: int, fresh: bool = False) -> Any:
    limit = config.max_episode_steps or None
    if isinstance(environment, str):
        return environments.make(environment, num_envs=num_envs, max_episode_steps=limit)
    if isinstance(environment, JaxEnvironment) or not fresh:
        return environment
    if isinstance(environment, GymnasiumEnvironment):
        return environment.remake(num_envs)
    raise ConfigError(
        explain(
            "an environment given as an object cannot be evaluated beside its training",
            expected="an environment id, or eval_every=0",
            got=type(environment).__name__,
            fix="train('dqn', 'my_package:MyEnv-v0')",
        )
    )


def _next(step: int, every: int) -> int:
    return (step // every + 1) * every if every else 0


def _replaced(config: DqnConfig, options: Mapping[str, Any]) -> DqnConfig:
    known = [field.name for field in dataclasses.fields(config)]
    for name in options:
        if name not in known:
            import difflib

            close = difflib.get_close_matches(name, known, 1)
            raise ConfigError(
                explain(f"unknown option '{name}'", expected=close[0] if close else ", ".join(known)[:200], got=name)
            )
    return dataclasses.replace(config, **options)


def _resolved(algorithm: str, environment: str, seed: int, config: DqnConfig) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "algorithm": algorithm,
        "environment": environment,
        "seed": seed,
        "options": dataclasses.asdict(config),
    }


def _tuples(options: dict[str, Any]) -> dict[str, Any]:
    def as_tuple(value: Any) -> Any:
        return tuple(as_tuple(v) for v in value) if isinstance(value, list) else value

    return {key: as_tuple(value) for key, value in options.items()}


def _new_directory(path: Path) -> Path:
    if (path / "config.json").exists():
        raise StorageError(
            explain(
                f"{path} already holds a run",
                expected="a new directory",
                got="config.json",
                fix=f"--resume {path}, or another --out",
            )
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(explain(f"cannot make the run directory {path}", got=str(error.strerror))) from error
    if not os.access(path, os.W_OK):
        raise StorageError(explain(f"cannot write to {path}", expected="a writable directory", got="read-only"))
    return path


def _write_json(path: Path, value: Any) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


