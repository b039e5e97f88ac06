"""Options of REINFORCE, as a frozen dataclass."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import optax

from jaxdaw import networks
from jaxdaw.agents import ReinforceAgent
from jaxdaw.training._trainer import LoopOptions
from jaxdaw.training.algorithms._environment_config import EnvironmentConfig, falling


@dataclasses.dataclass(frozen=True)
class ReinforceConfig(EnvironmentConfig):
    """What `jaxdaw train reinforce` can be told. The defaults solve CartPole-v1.

    Attributes:
      network: mlp, or rnn (LSTM over the steps of a rollout).
      rollout_steps: steps in each environment before each gradient step. Episodes that do not end inside teach nothing,
        so it should be longer than they are.
      baseline: whether a value network is learned, whose values are subtracted from the returns.
      value_estimation_loss_coef: of the value network's squared error.
      entropy_regularization: of the entropy of the policy; 0 for none.
      normalize_returns: bring the advantages of a rollout to mean 0 and deviation 1.
      learning_rate: of Adam.
      learning_rate_end: linear decay to this share of it over the run; 1 keeps it.
    """

    steps: int = 300_000
    eval_every: int = 25_000
    checkpoint_every: int = 100_000
    summary_interval: int = 10
    rollout_steps: int = 512
    baseline: bool = True
    value_estimation_loss_coef: float = 0.2
    entropy_regularization: float = 0.01
    normalize_returns: bool = True
    learning_rate: float = 3e-3
    learning_rate_end: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        self.check_integers(1, "rollout_steps")
        self.check_numbers(1.0, "learning_rate_end")
        self.check_numbers(math.inf, "learning_rate", above_0=True)
        self.check_numbers(math.inf, "entropy_regularization", "value_estimation_loss_coef")

    def loop_options(self) -> LoopOptions:
        """Returns how the agent meets its experience."""
        return LoopOptions(
            replay="rollout", train_every=self.rollout_steps, learning_starts=0, report_every=self.report_every
        )

    def make_agent(self, time_step_spec: Any, action_spec: Any, seed: int = 0) -> ReinforceAgent:
        """Returns the agent that these options describe, with weights drawn from `seed`."""
        seen, value = time_step_spec.observation, None
        kind = networks.ActorDistributionRnnNetwork if self.network == "rnn" else networks.ActorDistributionNetwork
        if self.baseline:
            encoder = networks.encoder_options(seen, self.conv_layer_params)
            value = networks.ValueNetwork(seen, fc_layer_params=tuple(self.fc_layer_params), rngs=seed + 1, **encoder)
        updates = max(self.steps // (self.num_envs * self.rollout_steps), 1)
        return ReinforceAgent(
            time_step_spec,
            action_spec,
            kind(seen, action_spec, rngs=seed, **self.layer_options(seen)),
            optax.adam(falling(self.learning_rate, self.learning_rate_end, updates)),
            value_network=value,
            value_estimation_loss_coef=self.value_estimation_loss_coef,
            gamma=self.gamma,
            normalize_returns=self.normalize_returns,
            gradient_clipping=self.gradient_clipping or None,
            entropy_regularization=self.entropy_regularization or None,
            **self.summary_options(),
        )
