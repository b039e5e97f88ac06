"""One call from demonstrations to a trained, evaluated, saved policy in a run directory."""

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
from jaxdaw.data import Demonstrations
from jaxdaw.drivers import run_episodes
from jaxdaw.environments import Environment
from jaxdaw.errors import NonFiniteError
from jaxdaw.policies import Policy
from jaxdaw.training._cloning_config import BcConfig
from jaxdaw.training._cloning_trainer import CloningTrainer, EpochReport, num_updates
from jaxdaw.training._config import FORMAT, replaced
from jaxdaw.training._directory import new_directory, versions, write_json
from jaxdaw.training._experiment import evaluation_row
from jaxdaw.training._interrupt import Interrupts
from jaxdaw.training._policy_file import save_policy
from jaxdaw.training._writers import MetricsWriter
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


def clone(
    demonstrations: Demonstrations,
    environment: Any = None,
    *,
    config: BcConfig | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    watch: Callable[[dict[str, Any]], Any] | None = None,
    source: str = "",
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
      source: where the demonstrations came from, for the run's config.
      **options: fields of the config to replace: `epochs=50`.

    Raises:
      ConfigError: an unknown option, or a value outside its range.
      SpecError: the demonstrations do not fit the environment; nothing was trained.
      StorageError: `out` already holds a run.
    """
    config = replaced(BcConfig() if config is None else config, options)
    world: Any = environment
    if isinstance(environment, str):
        world = environments.make(
            environment,
            num_envs=min(config.eval_episodes, 10),
            max_episode_steps=config.max_episode_steps or None,
        )
    session = None
    try:
        session = _Session(demonstrations, world, environment, config, seed, out, watch, source)
        return session.go()
    finally:
        if session is not None:
            session.close()
        if isinstance(world, Environment) and isinstance(environment, str):
            world.close()


class _Session:
    """A run under way: the trainer, what is measured, and what is written."""

    def __init__(
        self,
        demonstrations: Demonstrations,
        world: Any,
        environment: Any,
        config: BcConfig,
        seed: int,
        out: str | Path | None,
        watch: Callable[[dict[str, Any]], Any] | None,
        source: str,
    ):
        observation_spec = demonstrations.observation_spec if world is None else world.observation_spec
        action_spec = demonstrations.action_spec if world is None else world.action_spec
        kept = config.validation_episodes(len(demonstrations))
        share = 1.0 - kept / len(demonstrations)
        learn, validation = demonstrations.split(share, seed) if kept else (demonstrations, None)
        length = config.sequence_length if config.network == "rnn" else None
        updates = config.epochs * num_updates(learn, config.batch_size, length, config.epoch_updates)
        agent = config.make_agent(time_step_spec(observation_spec), action_spec, seed, updates)
        self.trainer = CloningTrainer(agent, learn, validation, config.batch_size, length, seed, config.epoch_updates)
        self.trainer.observe()
        self.agent, self.config, self.seed, self._world = agent, config, seed, world
        self._watchers = [] if watch is None else [watch]
        self.directory = None if out is None else new_directory(Path(out))
        self._writer = None if self.directory is None else MetricsWriter(self.directory)
        self._name = environment if isinstance(environment, str) or environment is None else type(environment).__name__
        self.epochs: list[dict[str, Any]] = []
        self.evaluations: list[dict[str, Any]] = []
        self._best, self._best_weights, self._since_best = math.inf, None, 0
        returns = demonstrations.returns
        expert = None if returns is None else float(np.mean(returns))
        if self.directory is not None:
            described = {
                "format": FORMAT,
                "algorithm": "bc",
                "environment": self._name or "",
                "demonstrations": {
                    "source": source,
                    "episodes": len(demonstrations),
                    "steps": demonstrations.num_steps,
                    "mean_return": expert,
                },
                "seed": seed,
                "options": dataclasses.asdict(config),
            }
            write_json(self.directory / "config.json", described)
            write_json(self.directory / "versions.json", versions())

    def go(self) -> CloneRun:
        trainer, config = self.trainer, self.config
        with Interrupts(trainer.stop):
            while trainer.epoch < config.epochs and not trainer.stopped:
                started = time.perf_counter()
                report = trainer.run()
                self._report(report, time.perf_counter() - started)
                if config.eval_every and report.epoch % config.eval_every == 0 and not trainer.stopped:
                    self._evaluate(report.epoch)
                if config.patience and self._since_best >= config.patience:
                    break
        trainer.sync()
        final = self.agent.policy
        best = self._best_policy(final)
        if self._world is not None and not trainer.stopped:
            self._evaluate(trainer.epoch, best)
        if self.directory is not None:
            note = {"environment": self._name, "epoch": trainer.epoch}
            save_policy(final, self.directory / "policy", note)
            if best is not final:
                save_policy(best, self.directory / "best_policy", {**note, "validation_loss": self._best})
        return CloneRun(
            best, final, self.agent, config, self.directory, self.epochs, self.evaluations, interrupted=trainer.stopped
        )

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _report(self, report: EpochReport, seconds: float) -> None:
        measured = report.validation_loss if self.trainer.validates else report.loss
        best = measured < self._best
        self._since_best = 0 if best else self._since_best + 1
        if best:
            self._best = measured
            self._best_weights = jax.device_get(self.agent.policy_weights(self.trainer.state))
        row = {"kind": "epoch", "step": report.epoch, **report._asdict(), "seconds": seconds, "best": best}
        self.epochs.append(row)
        self._emit(row)
        if self._writer is not None:
            scalars = {"Losses/loss": report.loss, "Losses/validation": report.validation_loss,
                       "Metrics/ActionMatch": report.match, "Metrics/ActionError": report.error}  # fmt: skip
            self._writer.scalars(scalars, report.epoch)
        if not math.isfinite(report.loss) and not self.trainer.stopped:
            raise NonFiniteError(
                "every gradient step of an epoch was refused: not finite",
                got=f"{report.refused} refused steps in epoch {report.epoch}",
                cause="a learning rate that is too high.",
                fix="--learning-rate 1e-4 --gradient-clipping 1",
            )

    def _evaluate(self, epoch: int, policy: Policy | None = None) -> None:
        if self._world is None:
            return
        weights = self.agent.policy_weights(self.trainer.state) if policy is None else policy.get_weights()
        episodes = run_episodes(self.agent.policy, self._world, self.config.eval_episodes, self.seed + epoch, weights)
        row = {**evaluation_row(epoch, episodes.returns, math.inf), "policy": "now" if policy is None else "best"}
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
        agent = self.config.make_agent(self.agent.time_step_spec, self.agent.action_spec, self.seed)
        agent.cloning_network.set_weights(jax.tree.map(jax.numpy.asarray, self._best_weights))
        return agent.policy
