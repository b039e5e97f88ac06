"""One call from demonstrations to a trained, evaluated, saved policy in a run directory, and going on with one."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdaw import environments
from jaxdaw.agents import BehavioralCloningAgent
from jaxdaw.data import Demonstrations, check, read_demonstrations
from jaxdaw.drivers import run_episodes
from jaxdaw.environments import Environment
from jaxdaw.errors import ConfigError, EnvironmentFault, NonFiniteError
from jaxdaw.policies import Policy
from jaxdaw.training._checkpoint import Checkpointer
from jaxdaw.training._cloning_config import BcConfig
from jaxdaw.training._cloning_trainer import CloningTrainer, EpochReport, num_updates
from jaxdaw.training._config import from_json, replaced, resolved
from jaxdaw.training._directory import how_to_resume, new_directory, read_config, versions, write_json
from jaxdaw.training._experiment import evaluation_row
from jaxdaw.training._interrupt import Interrupts
from jaxdaw.training._observation_scales import normalizing_layers
from jaxdaw.training._policy_file import save_policy
from jaxdaw.training._writers import MetricsWriter, plain_row
from jaxdaw.trajectories import time_step_spec


@dataclasses.dataclass
class CloneRun:
    """A run of cloning: what was trained, how it went, and where it lies.

    Attributes:
      policy: that of the lowest validation loss; without validation, of the lowest training loss.
      final_policy: the policy after the last epoch.
      agent: the agent, with its final weights.
      config: the options.
      directory: the run directory, or None if nothing was written.
      epochs: the rows of every epoch.
      evaluations: the rows of every evaluation in the environment.
      interrupted: whether the run was stopped before its last epoch.
    """

    policy: Policy
    final_policy: Policy
    agent: BehavioralCloningAgent
    config: BcConfig
    directory: Path | None
    epochs: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    interrupted: bool = False


Watcher = Callable[[dict[str, Any]], Any]


def clone(
    demonstrations: Demonstrations,
    environment: Any = None,
    *,
    config: BcConfig | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    watch: Watcher | None = None,
    source: str = "",
    columns: Any = None,
    **options: Any,
) -> CloneRun:
    """Trains a policy to do what was demonstrated, and returns its run.

    Args:
      demonstrations: what to learn from; of many episodes a part is kept for validation.
      environment: a Gymnasium id, a pure one such as `jax:CartPole-v1`, or an environment, whose specs the
        demonstrations must have, and in which the policy is evaluated; None trains from the data alone.
      config: the options; None is the defaults.
      seed: of everything random.
      out: the run directory, which must not hold a run; None writes nothing.
      watch: is called with every row of metrics.
      source: where the demonstrations came from, for the run's config: what `read_demonstrations` reads.
      columns: those that `read_demonstrations` was given, likewise.
      **options: fields of the config to replace: `epochs=50`.

    Raises:
      ConfigError: an unknown option, or a value outside its range.
      SpecError: the demonstrations do not fit the environment, or hold what is wrong; all of it is listed, with the
        numbers of episodes and steps, and nothing was trained.
      StorageError: `out` already holds a run.
    """
    config = replaced(BcConfig() if config is None else config, options).for_actions(demonstrations.action_spec)
    name = environment if isinstance(environment, str) or environment is None else type(environment).__name__
    described = resolved("bc", name or "", seed, config) | {
        "demonstrations": {"source": source, "columns": columns, **_figures(demonstrations)}
    }

    def begin(session: _Session) -> None:
        if out is not None:
            session.write_to(new_directory(Path(out)))
            write_json(Path(out) / "config.json", described)
            write_json(Path(out) / "versions.json", versions())

    return _run(demonstrations, environment, config, described, watch, begin)


def resume_clone(
    directory: str | Path,
    demonstrations: Demonstrations | None = None,
    environment: Any = None,
    *,
    epochs: int | None = None,
    watch: Watcher | None = None,
) -> CloneRun:
    """Goes on with a run of cloning from its latest checkpoint, exactly as if it had not been interrupted.

    Args:
      directory: a run directory.
      demonstrations: those of the run; None reads them from where they came from.
      environment: that of the run, if it was not given by name.
      epochs: the new total, over which the learning rate falls; None keeps that of the run.
      watch: is called with every row of metrics.

    Raises:
      StorageError: no run or no checkpoint there.
      ConfigError: the run is not one of cloning, or the demonstrations are not those of the run.
    """
    directory = Path(directory)
    described = read_config(directory)
    if described["algorithm"] != "bc":
        raise ConfigError(
            f"{directory} is not a run of cloning",
            expected="bc",
            got=described["algorithm"],
            fix=f"jaxdaw train {described['algorithm']} --resume {directory}",
        )
    recorded = described["demonstrations"]
    if demonstrations is None:
        if not recorded["source"]:
            raise ConfigError(
                f"{directory} does not say where its demonstrations came from",
                expected="demonstrations",
                got="None",
                fix=f"resume_clone({str(directory)!r}, demonstrations)",
            )
        demonstrations = read_demonstrations(recorded["source"], columns=recorded["columns"])
    figures = _figures(demonstrations)
    if any(recorded[name] != value for name, value in figures.items()):
        raise ConfigError(
            "these demonstrations are not those of the run",
            expected=", ".join(f"{recorded[name]} {name}" for name in figures),
            got=", ".join(f"{value} {name}" for name, value in figures.items()),
            cause="data that has changed since.",
            fix=f"jaxdaw train bc DATA --resume {directory}",
        )
    config = BcConfig(**from_json(described["options"]))
    if epochs is not None:
        config = replaced(config, {"epochs": epochs})
        described["options"] = dataclasses.asdict(config)

    def begin(session: _Session) -> None:
        session.write_to(directory)
        session.restore()
        write_json(directory / "config.json", described)

    world = environment or described["environment"] or None
    return _run(demonstrations, world, config, described, watch, begin)


def _figures(demonstrations: Demonstrations) -> dict[str, Any]:
    returns = demonstrations.returns
    return {
        "episodes": len(demonstrations),
        "steps": demonstrations.num_steps,
        "mean_return": None if returns is None else float(np.mean(returns)),
    }


def _run(
    demonstrations: Demonstrations,
    environment: Any,
    config: BcConfig,
    described: dict[str, Any],
    watch: Watcher | None,
    begin: Callable[[_Session], None],
) -> CloneRun:
    world: Any = environment
    if isinstance(environment, str):
        world = environments.make(
            environment,
            num_envs=min(config.eval_episodes, 10),
            max_episode_steps=config.max_episode_steps or None,
        )
    session = None
    try:
        _refuse_faults(demonstrations, world, described["demonstrations"]["source"])
        session = _Session(demonstrations, world, described["environment"] or None, config, described["seed"], watch)
        begin(session)
        return session.go()
    finally:
        if session is not None:
            session.close()
        if isinstance(world, Environment) and isinstance(environment, str):
            world.close()


def _specs_of(demonstrations: Demonstrations, world: Any) -> tuple[Any, Any]:
    """Returns the specs of the policy: those of the environment, if there is one."""
    place = demonstrations if world is None else world
    return place.observation_spec, place.action_spec


def _refuse_faults(demonstrations: Demonstrations, world: Any, source: str) -> None:
    check(demonstrations, *_specs_of(demonstrations, world)).raise_if_faulty(source or "the demonstrations")


class _Session:
    """A run under way: the trainer, what is measured, and what is written."""

    def __init__(
        self,
        demonstrations: Demonstrations,
        world: Any,
        name: str | None,
        config: BcConfig,
        seed: int,
        watch: Watcher | None,
    ):
        observation_spec, action_spec = _specs_of(demonstrations, world)
        kept = config.validation_episodes(len(demonstrations))
        share = 1.0 - kept / len(demonstrations)
        learn, validation = demonstrations.split(share, seed) if kept else (demonstrations, None)
        length = config.sequence_length if config.network == "rnn" else None
        updates = config.epochs * num_updates(learn, config.batch_size, length, config.epoch_updates)
        self._layers = normalizing_layers(learn, observation_spec) if config.normalize else None
        agent = config.make_agent(time_step_spec(observation_spec), action_spec, seed, updates, self._layers)
        self.trainer = CloningTrainer(
            agent, learn, validation, config.batch_size, length, seed, config.epoch_updates, is_checked=True
        )
        self.agent, self.config, self.seed, self._world, self._name = agent, config, seed, world, name
        self._watchers = [] if watch is None else [watch]
        self.directory: Path | None = None
        self._writer: MetricsWriter | None = None
        self._checkpointer: Checkpointer | None = None
        self.epochs: list[dict[str, Any]] = []
        self.evaluations: list[dict[str, Any]] = []
        self._best, self._best_weights, self._since_best = math.inf, None, 0
        self._seconds = 0.0  # of the epoch under way
        self._evaluates = False

    def write_to(self, directory: Path) -> None:
        self.directory = directory
        self._writer = MetricsWriter(directory)
        self._checkpointer = Checkpointer(directory / "checkpoints", keep=2)

    def go(self) -> CloneRun:
        trainer, config = self.trainer, self.config
        best = None
        try:
            with Interrupts(trainer.stop, lambda: self._evaluates):
                self._evaluate_if_due()
                while not trainer.stopped and not self._is_finished():
                    started = time.perf_counter()
                    report = trainer.run()
                    self._seconds += time.perf_counter() - started
                    if report is not None:
                        self._report(report)
                        self._evaluate_if_due()
                        if config.checkpoint_every and report.epoch % config.checkpoint_every == 0:
                            self._checkpoint()
                trainer.sync()
                best = self._best_policy(self.agent.policy)
                if not trainer.stopped:
                    self._evaluate(best)
        except EnvironmentFault as fault:
            if self.directory is not None:
                self._checkpoint()
                fault.add_note(how_to_resume("bc", self.directory))
            raise
        if best is None:  # taken out of an environment that did not return
            trainer.sync()
            best = self._best_policy(self.agent.policy)
        final = self.agent.policy
        if self.directory is not None:
            note = {"environment": self._name, "epoch": trainer.epoch}
            save_policy(final, self.directory / "policy", note)
            if best is not final:
                save_policy(best, self.directory / "best_policy", {**note, "validation_loss": self._best})
        self._checkpoint()  # last: it is the largest, and a disk may be full
        return CloneRun(
            best, final, self.agent, config, self.directory, self.epochs, self.evaluations, interrupted=trainer.stopped
        )

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def restore(self) -> None:
        assert self._checkpointer is not None
        assert self._writer is not None
        _, tree, kept = self._checkpointer.restore(self._tree())
        self.trainer.restore(tree["trainer"])
        self._best, self._since_best = math.inf if kept["best"] is None else kept["best"], kept["since_best"]
        self._best_weights = None if kept["best"] is None else jax.device_get(tree["best"])
        self.epochs, self.evaluations = (
            [{key: math.nan if value is None else value for key, value in row.items()} for row in kept[name]]
            for name in ("epochs", "evaluations")
        )
        self._seconds = kept["seconds"]
        self._writer.go_back(kept["metrics"])
        restored = "weights, optimizer, random keys, place in the epoch, best policy, metrics"
        epoch = self.trainer.epoch
        self._emit({"kind": "resume", "step": epoch, "unit": "epoch", "restored": restored, "lost": None})

    def _checkpoint(self) -> None:
        if self._checkpointer is None or self._writer is None:
            return
        kept = {
            "best": None if self._best_weights is None else self._best,
            "since_best": self._since_best,
            "epochs": [plain_row(row) for row in self.epochs],
            "evaluations": [plain_row(row) for row in self.evaluations],
            "seconds": self._seconds,
            "metrics": self._writer.position,
        }
        self._checkpointer.save(self.trainer.updates, self._tree(), kept)

    def _tree(self) -> dict[str, Any]:
        best = self._best_weights
        now = self.agent.policy_weights(self.trainer.state)
        return {"trainer": self.trainer.tree(), "best": now if best is None else best}

    def _is_finished(self) -> bool:
        patience = self.config.patience
        return self.trainer.epoch >= self.config.epochs or bool(patience and self._since_best >= patience)

    def _report(self, report: EpochReport) -> None:
        measured = report.validation_loss if self.trainer.validates else report.loss
        best = measured < self._best
        self._since_best = 0 if best else self._since_best + 1
        if best:
            self._best = measured
            self._best_weights = jax.device_get(self.agent.policy_weights(self.trainer.state))
        row = {"kind": "epoch", "step": report.epoch, **report._asdict(), "seconds": self._seconds, "best": best}
        self._seconds = 0.0
        self.epochs.append(row)
        self._emit(row)
        if self._writer is not None:
            scalars = {"Losses/loss": report.loss, "Losses/validation": report.validation_loss,
                       "Metrics/ActionMatch": report.match, "Metrics/ActionError": report.error}  # fmt: skip
            self._writer.scalars(scalars, report.epoch)
        if not math.isfinite(report.loss):
            raise NonFiniteError(
                "every gradient step of an epoch was refused: not finite",
                got=f"{report.refused} refused steps in epoch {report.epoch}",
                cause="a learning rate that is too high.",
                fix="--learning-rate 1e-4 --gradient-clipping 1",
            )

    def _evaluate_if_due(self) -> None:
        epoch, every = self.trainer.epoch, self.config.eval_every
        if every and epoch and epoch % every == 0 and not self.trainer.stopped:
            self._evaluate()

    def _evaluate(self, policy: Policy | None = None) -> None:
        epoch, which = self.trainer.epoch, "now" if policy is None else "best"
        known = any((row["step"], row["policy"]) == (epoch, which) for row in self.evaluations)
        if self._world is None or known:
            return
        weights = self.agent.policy_weights(self.trainer.state) if policy is None else policy.get_weights()
        self._evaluates = True
        episodes = run_episodes(self.agent.policy, self._world, self.config.eval_episodes, self.seed + epoch, weights)
        self._evaluates = False
        row = {**evaluation_row(epoch, episodes.returns, math.inf), "policy": which}
        self.evaluations.append(row)
        self._emit(row)
        if self._writer is not None:
            self._writer.scalars({"Eval/AverageReturn": row["mean_return"]}, epoch)

    def _emit(self, row: dict[str, Any]) -> None:
        if self._writer is not None:
            self._writer.write(row)
        for watch in self._watchers:
            watch(row)

    def _best_policy(self, final: Policy) -> Policy:
        if self._best_weights is None:
            return final
        specs = self.agent.time_step_spec, self.agent.action_spec
        agent = self.config.make_agent(*specs, self.seed, preprocessing_layers=self._layers)
        agent.cloning_network.set_weights(jax.tree.map(jax.numpy.asarray, self._best_weights))
        return agent.policy
