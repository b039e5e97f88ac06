"""Options of TD3, and those that it shares with DDPG, as frozen dataclasses."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar, Literal

import optax

from jaxdaw import networks
from jaxdaw.agents import Td3Agent, check_bounded_floats, check_range
from jaxdaw.math import element_wise_huber_loss, element_wise_squared_loss
from jaxdaw.training._trainer import LoopOptions
from jaxdaw.training.algorithms._dqn import encoder_options


@dataclasses.dataclass(frozen=True)
class DeterministicActorCriticConfig:
    """Options that TD3 and DDPG share; `Td3Config` documents each."""

    agent_name: ClassVar[str]

    steps: int = 20_000
    num_envs: int = 1
    network: Literal["mlp", "rnn"] = "mlp"
    fc_layer_params: tuple[int, ...] = (64, 64)
    conv_layer_params: tuple[tuple[int, int, int], ...] = ()
    lstm_size: int = 40
    sequence_length: int = 16
    actor_learning_rate: float = 1e-3
    critic_learning_rate: float = 1e-3
    gradient_clipping: float = 0.0
    batch_size: int = 128
    replay_capacity: int = 200_000
    learning_starts: int = 1_000
    train_every: int = 8
    updates: int = 0
    gamma: float = 0.99
    target_update_tau: float = 0.005
    target_update_period: int = 1
    exploration_noise: float = 0.1
    reward_scale_factor: float = 1.0
    td_errors_loss: Literal["huber", "squared"] = "squared"
    max_episode_steps: int = 0
    eval_every: int = 2_000
    eval_episodes: int = 10
    report_every: int = 1_000
    checkpoint_every: int = 10_000
    debug_summaries: bool = False
    summarize_grads_and_vars: bool = False
    summary_interval: int = 100

    def __post_init__(self):
        for name in ("steps", "num_envs", "lstm_size", "eval_episodes", "summary_interval"):
            check_range(name, getattr(self, name), 1, math.inf, integer=True)
        for name in ("eval_every", "checkpoint_every", "max_episode_steps", "updates"):
            check_range(name, getattr(self, name), 0, math.inf, integer=True)
        for name in ("actor_learning_rate", "critic_learning_rate"):
            check_range(name, getattr(self, name), 0.0, math.inf, low_open=True)
        for name in ("gradient_clipping", "exploration_noise"):
            check_range(name, getattr(self, name), 0.0, math.inf)

    def loop_options(self) -> LoopOptions:
        """Returns how the agent meets its experience."""
        return LoopOptions(
            batch_size=self.batch_size,
            replay_capacity=self.replay_capacity,
            learning_starts=self.learning_starts,
            random_starts=True,
            train_every=self.train_every,
            updates=self.updates or None,
            sequence_length=self.sequence_length if self.network == "rnn" else None,
            report_every=self.report_every,
        )

    def agent_arguments(self, time_step_spec: Any, action_spec: Any, seed: int) -> dict[str, Any]:
        """Returns the constructor arguments that both agents take, networks and optimizers included."""
        check_bounded_floats(action_spec, self.agent_name)
        observation_spec, layers = time_step_spec.observation, tuple(self.fc_layer_params)
        encoder = encoder_options(observation_spec, self.conv_layer_params)
        if self.network == "rnn":
            memory = {"lstm_size": (self.lstm_size,), "output_fc_layer_params": None}
            actor: networks.Network = networks.ActorRnnNetwork(
                observation_spec, action_spec, input_fc_layer_params=layers, rngs=seed, **memory, **encoder
            )
        else:
            actor = networks.ActorNetwork(observation_spec, action_spec, layers, rngs=seed, **encoder)
        return {
            "time_step_spec": time_step_spec,
            "action_spec": action_spec,
            "actor_network": actor,
            "critic_network": make_critic(self, observation_spec, action_spec, seed + 1),
            "actor_optimizer": optax.adam(self.actor_learning_rate),
            "critic_optimizer": optax.adam(self.critic_learning_rate),
            "target_update_tau": self.target_update_tau,
            "target_update_period": self.target_update_period,
            "td_errors_loss_fn": _LOSSES[self.td_errors_loss],
            "gamma": self.gamma,
            "reward_scale_factor": self.reward_scale_factor,
            "gradient_clipping": self.gradient_clipping or None,
            "scale_noise_to_bounds": True,
            "debug_summaries": self.debug_summaries,
            "summarize_grads_and_vars": self.summarize_grads_and_vars,
            "summary_interval": self.summary_interval,
        }


@dataclasses.dataclass(frozen=True)
class Td3Config(DeterministicActorCriticConfig):
    """What `jaxdaw train td3` can be told. The defaults solve Pendulum-v1.

    Attributes:
      steps: environment steps, over all environments; 50k and 1e6 are understood.
      num_envs: environments that step together.
      network: mlp, or rnn (LSTM over sequences).
      fc_layer_params: units of the hidden layers, of the actor and of the critics.
      conv_layer_params: filters, kernel and stride of each convolution, for images; empty for none.
      lstm_size: units of the recurrent cell, with `network rnn`.
      sequence_length: frames in a training window, with `network rnn`.
      actor_learning_rate: of the actor's Adam.
      critic_learning_rate: of the critics' Adam.
      gradient_clipping: each variable's gradient is scaled to at most this norm; 0 for none.
      batch_size: windows in one gradient step.
      replay_capacity: frames kept.
      learning_starts: environment steps before the first gradient step; their actions are uniformly random.
      train_every: steps in each environment before each learning phase.
      updates: gradient steps in a learning phase; 0 is one for each environment step.
      gamma: discount of future rewards.
      target_update_tau: share of the online weights at a target update.
      target_update_period: gradient steps between target updates.
      exploration_noise: deviation of the normal noise around the actions, in units of half the width of their bounds.
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
      actor_update_period: gradient steps of the critics for each of the actor.
      target_policy_noise: deviation of the noise on the actions that are bootstrapped from, in the same units as
        `exploration_noise`.
      target_policy_noise_clip: the most that this noise moves an action, in the same units.
    """

    agent_name: ClassVar[str] = "TD3"
    target_update_period: int = 2
    actor_update_period: int = 2
    target_policy_noise: float = 0.2
    target_policy_noise_clip: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        check_range("actor_update_period", self.actor_update_period, 1, math.inf, integer=True)
        for name in ("target_policy_noise", "target_policy_noise_clip"):
            check_range(name, getattr(self, name), 0.0, math.inf)

    def make_agent(self, time_step_spec: Any, action_spec: Any, seed: int = 0) -> Td3Agent:
        """Returns the agent that these options describe, with weights drawn from `seed`."""
        return Td3Agent(
            **self.agent_arguments(time_step_spec, action_spec, seed),
            exploration_noise_std=self.exploration_noise,
            actor_update_period=self.actor_update_period,
            target_policy_noise=self.target_policy_noise,
            target_policy_noise_clip=self.target_policy_noise_clip,
        )


def make_critic(config: Any, observation_spec: Any, action_spec: Any, seed: int) -> networks.Network:
    """Returns a critic of the layers and the memory that the options say; it sees actions scaled to their bounds.

    Args:
      config: the options of an algorithm.
      observation_spec, action_spec: what the critic is given.
      seed: of its weights.
    """
    encoder = encoder_options(observation_spec, config.conv_layer_params)
    on_both = {
        "observation_conv_layer_params": encoder["conv_layer_params"],
        "joint_fc_layer_params": tuple(config.fc_layer_params),
        "preprocessing_combiner": encoder["preprocessing_combiner"],
        "scale_actions": True,
        "rngs": seed,
    }
    if config.network != "rnn":
        return networks.CriticNetwork((observation_spec, action_spec), **on_both)
    return networks.CriticRnnNetwork(
        (observation_spec, action_spec),
        observation_fc_layer_params=None,
        action_fc_layer_params=None,
        lstm_size=(config.lstm_size,),
        output_fc_layer_params=None,
        **on_both,
    )


_LOSSES = {"huber": element_wise_huber_loss, "squared": element_wise_squared_loss}
