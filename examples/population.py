"""Thirty-two seeds at once in a pure JAX environment: one vmap over whole training runs."""

import numpy as np

from jaxdaw import environments, training
from jaxdaw.training._fit import reports
from jaxdaw.training._jax_trainer import JaxTrainer


def main(seeds: int = 32, steps: int = 10_000) -> np.ndarray:
    environment = environments.make("jax:CartPole-v1")
    config = training.DqnConfig(steps=steps)
    agent = config.make_agent(environment.time_step_spec(), environment.action_spec)
    trainer = JaxTrainer(agent, environment, config.loop_options(), tuple(range(seeds)), config.num_envs)
    report = None
    for report in reports(trainer, steps):
        print(f"{report.env_steps:6d} steps a seed: mean return {report.episodes.mean_return:.1f}")
    assert report is not None
    return np.array([member.mean_return for member in report.members])


if __name__ == "__main__":
    main()
