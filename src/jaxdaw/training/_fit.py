"""Training in one call, with any kind of environment."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxdaw.agents import Agent
from jaxdaw.environments import Environment, JaxEnvironment
from jaxdaw.training._host_trainer import HostTrainer
from jaxdaw.training._jax_trainer import JaxTrainer
from jaxdaw.training._trainer import LoopOptions, Report, Trainer


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
    options = LoopOptions() if options is None else options
    if options.importance_steps is None:
        options = dataclasses.replace(options, importance_steps=steps)
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
