"""Options of DDPG, as a frozen dataclass."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

from jaxdaw.agents import DdpgAgent, check_range
from jaxdaw.training.algorithms._td3 import DeterministicActorCriticConfig


@dataclasses.dataclass(frozen=True)
class DdpgConfig(DeterministicActorCriticConfig):
    """What `jaxdaw train ddpg` can be told. The defaults solve Pendulum-v1.

    Attributes:
      steps: environment steps, over all environments; 50k and 1e6 are understood.
      num_envs: environments that step together.
      network: mlp, or rnn (LSTM over sequences).
      fc_layer_params: units of the hidden layers, of the actor and of the critic.
      conv_layer_params: filters, kernel and stride of each convolution, for images; empty for none.
      lstm_size: units of the recurrent cell, with `network rnn`.
      sequence_length: frames in a training window, with `network rnn`.
      actor_learning_rate: of the actor's Adam.
      critic_learning_rate: of the critic's Adam.
      gradient_clipping: each variable's gradient is scaled to at most this norm; 0 for none.
      batch_size: windows in one gradient step.
      replay_capacity: frames kept.
      learning_starts: environment steps before the first gradient step; their actions are uniformly random.
      train_every: steps in each environment before each learning phase.
      updates: gradient steps in a learning phase; 0 is one for each environment step.
      gamma: discount of future rewards.
      target_update_tau: share of the online weights at a target update.
      target_update_period: gradient steps between target updates.
      exploration_noise: deviation of what is added to the noise around the actions at each step, in units of half the
        width of their bounds.
      reward_scale_factor: multiplies the rewards.
      td_errors_loss: huber or squared.
      max_episode_steps: time limit put on the environment; 0 keeps its own.
      eval_every: environment steps between two evaluations; 0 never evaluates.
      eval_episodes: episodes without noise in an evaluation.
      report_every: environment steps between two lines of metrics.
      checkpoint_every: environment steps between two checkpoints; 0 only at the end.
      debug_summaries: write TD errors, losses, values and actions to TensorBoard.
      summarize_grads_and_vars: write gradients and variables to TensorBoard.
      summary_interval: gradient steps between two summaries.
      ou_damping: how fast the noise decays (Ornstein-Uhlenbeck); 1 forgets it at each step, 0 is a random walk.
      dqda_clipping: each element of the critic's gradient by the action is clipped to this size; 0 for none.
    """

    agent_name: ClassVar[str] = "DDPG"
    ou_damping: float = 1.0
    dqda_clipping: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        check_range("ou_damping", self.ou_damping, 0.0, 1.0)
        check_range("dqda_clipping", self.dqda_clipping, 0.0, math.inf)

    def make_agent(self, time_step_spec: Any, action_spec: Any, seed: int = 0) -> DdpgAgent:
        """Returns the agent that these options describe, with weights drawn from `seed`."""
        return DdpgAgent(
            **self.agent_arguments(time_step_spec, action_spec, seed),
            ou_stddev=self.exploration_noise,
            ou_damping=self.ou_damping,
            dqda_clipping=self.dqda_clipping or None,
        )
