"""Several seeds of one experiment: as one `vmap` where the environment is pure, else in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdaw import environments
from jaxdaw.agents import Agent
from jaxdaw.drivers import episodes_of
from jaxdaw.environments import JaxEnvironment
from jaxdaw.training._checkpoint import Checkpointer
from jaxdaw.training._config import DqnConfig, resolved
from jaxdaw.training._directory import new_directory, versions, write_json
from jaxdaw.training._experiment import Run, Watcher, evaluation_row, run_policy, train, train_row
from jaxdaw.training._fit import reports
from jaxdaw.training._interrupt import Interrupts
from jaxdaw.training._jax_trainer import JaxTrainer
from jaxdaw.training._policy_file import save_policy
from jaxdaw.training._trainer import next_multiple
from jaxdaw.training._writers import MetricsWriter


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
      out: the parent directory; member i lies in `seed_i`, and is resumed by itself if the run was interrupted. Other
        arguments are those of `train`.
    """
    parent = new_directory(Path(out))
    write_json(parent / "config.json", {**resolved(algorithm, environment, seed, config), "seeds": seeds})
    write_json(parent / "versions.json", versions())
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


def _train_population(
    algorithm: str,
    environment: str,
    seeds: list[int],
    config: DqnConfig,
    parent: Path,
    watch: Watcher | None,
) -> list[Run]:
    world = environments.make(environment, max_episode_steps=config.max_episode_steps or None)
    assert isinstance(world, JaxEnvironment)
    agent = config.make_agent(world.time_step_spec(), world.action_spec, seeds[0])
    trainer = JaxTrainer(agent, world, config.loop_options(), tuple(seeds), config.num_envs)
    members = [_Member(algorithm, environment, seed, config, parent) for seed in seeds]
    evaluate = _evaluator(agent, world, config.eval_episodes)
    watch = (lambda row: None) if watch is None else watch
    next_eval, before, started = config.eval_every, 0, time.perf_counter()
    clock = started
    with Interrupts(trainer.stop):
        for report in reports(trainer, config.steps):
            now = time.perf_counter()
            rate = (report.env_steps - before) * len(seeds) / max(now - clock, 1e-9)
            before = report.env_steps
            for member, episodes in zip(members, report.members, strict=True):
                member.writer.write(train_row(report, episodes, rate, now - started))
            watch(train_row(report, report.episodes, rate, now - started))
            last = report.env_steps >= config.steps
            if config.eval_every and report.learning and (last or report.env_steps >= next_eval):
                next_eval = next_multiple(report.env_steps, config.eval_every)
                returns = evaluate(trainer.collect_weights(), report.env_steps)
                for index, member in enumerate(members):
                    if member.evaluated(report.env_steps, returns[index]):
                        agent.set_state(trainer.member(index))
                        member.save(agent, "best_policy", report.env_steps)
                watch(evaluation_row(report.env_steps, returns.ravel(), np.inf))
            clock = time.perf_counter()
    runs = []
    for index, member in enumerate(members):
        agent.set_state(trainer.member(index))
        member.save(agent, "policy", trainer.env_steps)
        if trainer.stopped:
            member.checkpoint(trainer.env_steps, trainer.member_tree(index), time.perf_counter() - started)
        member.writer.close()
        best, final = (run_policy(member.directory, which) for which in ("best", "final"))
        runs.append(Run(best, final, None, config, member.directory, member.evaluations, trainer.stopped))
    return runs


class _Member:
    """One seed's run directory and evaluations."""

    def __init__(self, algorithm: str, environment: str, seed: int, config: DqnConfig, parent: Path):
        self.directory = new_directory(parent / f"seed_{seed}")
        write_json(self.directory / "config.json", resolved(algorithm, environment, seed, config))
        write_json(self.directory / "versions.json", versions())
        self.writer = MetricsWriter(self.directory)
        self.evaluations: list[dict[str, Any]] = []
        self._environment = environment
        self._best = -np.inf

    def evaluated(self, step: int, returns: np.ndarray) -> bool:
        """Records an evaluation; returns whether it is the best so far."""
        row = evaluation_row(step, returns, self._best)
        self._best = max(self._best, row["mean_return"])
        self.evaluations.append(row)
        self.writer.write(row)
        return row["best"]

    def checkpoint(self, step: int, tree: dict[str, Any], seconds: float) -> None:
        """Writes what a run of this seed alone goes on with."""
        best = None if self._best == -np.inf else self._best
        kept = {"best": best, "evaluations": self.evaluations, "seconds": seconds}
        Checkpointer(self.directory / "checkpoints", keep=2).save(step, tree, kept)

    def save(self, agent: Agent, name: str, step: int) -> None:
        """Writes the agent's policy under a name."""
        save_policy(agent.policy, self.directory / name, {"environment": self._environment, "step": step})


def _evaluator(agent: Agent, environment: JaxEnvironment, episodes: int) -> Callable[[Any, int], np.ndarray]:
    """Returns `(weights of the population, seed) -> returns [S, episodes]`, one compiled call."""

    @jax.jit
    def evaluate(weights: Any, seed: Any) -> Any:
        key = jax.random.key(seed)
        return jax.vmap(lambda w: episodes_of(agent.policy, environment, episodes, 1_000_000, w, key)[0])(weights)

    return lambda weights, seed: np.asarray(evaluate(weights, np.uint32(seed)))
