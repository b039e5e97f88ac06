"""Options of REINFORCE, as a frozen dataclass."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import optax

from jaxdaw import networks
from jaxdaw.agents import ReinforceAgent, check_range
from jaxdaw.training._trainer import LoopOptions
from jaxdaw.training.algorithms._dqn import encoder_options


@dataclasses.dataclass(frozen=True)
class ReinforceConfig:
    """What `jaxdaw train reinforce` can be told. The defaults solve CartPole-v1.

    Attributes:
      steps: environment steps, over all environments; 50k and 1e6 are understood.
      num_envs: environments that step together.
      rollout_steps: steps in each environment before each gradient step. Episodes that do not end inside teach nothing,
        so it should be longer than they are.
      network: mlp, or rnn (LSTM over the steps of a rollout).
      fc_layer_params: units of the hidden layers, of the actor and of the value network.
      conv_layer_params: filters, kernel and stride of each convolution, for images; empty for none.
      lstm_size: units of the recurrent cell, with `network rnn`.
      baseline: whether a value network is learned, whose values are subtracted from the returns.
      value_estimation_loss_coef: of the value network's squared error.
      entropy_regularization: of the entropy of the policy; 0 for none.
      normalize_returns: bring the advantages of a rollout to mean 0 and deviation 1.
      learning_rate: of Adam.
      learning_rate_end: linear decay to this share of it over the run; 1 keeps it.
      gradient_clipping: each variable's gradient is scaled to at most this norm; 0 for none.
      gamma: discount of future rewards.
      max_episode_steps: time limit put on the environment; 0 keeps its own.
      eval_every: environment steps between two evaluations; 0 never evaluates.
      eval_episodes: greedy episodes in an evaluation.
      report_every: environment steps between two lines of metrics.
      checkpoint_every: environment steps between two checkpoints; 0 only at the end.
      debug_summaries: write returns, advantages and losses to TensorBoard.
      summarize_grads_and_vars: write gradients and variables to TensorBoard.
      summary_interval: gradient steps between two summaries.
    """

    steps: int = 300_000
    num_envs: int = 8
    rollout_steps: int = 512
    network: Literal["mlp", "rnn"] = "mlp"
    fc_layer_params: tuple[int, ...] = (64, 64)
    conv_layer_params: tuple[tuple[int, int, int], ...] = ()
    lstm_size: int = 40
    baseline: bool = True
    value_estimation_loss_coef: float = 0.2
    entropy_regularization: float = 0.01
    normalize_returns: bool = True
    learning_rate: float = 3e-3
    learning_rate_end: float = 0.1
    gradient_clipping: float = 0.0
    gamma: float = 0.99
    max_episode_steps: int = 0
    eval_every: int = 25_000
    eval_episodes: int = 20
    report_every: int = 5_000
    checkpoint_every: int = 100_000
    debug_summaries: bool = False
    summarize_grads_and_vars: bool = False
    summary_interval: int = 10

    def __post_init__(self):
        for name in ("steps", "num_envs", "rollout_steps", "lstm_size", "eval_episodes", "summary_interval"):
            check_range(name, getattr(self, name), 1, math.inf, integer=True)
        for name in ("eval_every", "checkpoint_every", "max_episode_steps"):
            check_range(name, getattr(self, name), 0, math.inf, integer=True)
        check_range("learning_rate_end", self.learning_rate_end, 0.0, 1.0)
        check_range("learning_rate", self.learning_rate, 0.0, math.inf, low_open=True)
        for name in ("gradient_clipping", "entropy_regularization", "value_estimation_loss_coef"):
            check_range(name, getattr(self, name), 0.0, math.inf)

    def loop_options(self) -> LoopOptions:
        """Returns how the agent meets its experience."""
        return LoopOptions(
            replay="rollout", train_every=self.rollout_steps, learning_starts=0, report_every=self.report_every
        )

    def make_agent(self, time_step_spec: Any, action_spec: Any, seed: int = 0) -> ReinforceAgent:
        """Returns the agent that these options describe, with weights drawn from `seed`."""
        observation_spec = time_step_spec.observation
        layers = tuple(self.fc_layer_params)
        encoder = encoder_options(observation_spec, self.conv_layer_params)
        if self.network == "rnn":
            actor: networks.Network = networks.ActorDistributionRnnNetwork(
                observation_spec,
                action_spec,
                input_fc_layer_params=layers,
                lstm_size=(self.lstm_size,),
                output_fc_layer_params=None,
                rngs=seed,
                **encoder,
            )
        else:
            actor = networks.ActorDistributionNetwork(
                observation_spec, action_spec, fc_layer_params=layers, rngs=seed, **encoder
            )
        value = None
        if self.baseline:
            value = networks.ValueNetwork(observation_spec, fc_layer_params=layers, rngs=seed + 1, **encoder)
        updates = max(self.steps // (self.num_envs * self.rollout_steps), 1)
        return ReinforceAgent(
            time_step_spec,
            action_spec,
            actor,
            optax.adam(optax.linear_schedule(self.learning_rate, self.learning_rate * self.learning_rate_end, updates)),
            value_network=value,
            value_estimation_loss_coef=self.value_estimation_loss_coef,
            gamma=self.gamma,
            normalize_returns=self.normalize_returns,
            gradient_clipping=self.gradient_clipping or None,
            entropy_regularization=self.entropy_regularization or None,
            debug_summaries=self.debug_summaries,
            summarize_grads_and_vars=self.summarize_grads_and_vars,
            summary_interval=self.summary_interval,
        )
