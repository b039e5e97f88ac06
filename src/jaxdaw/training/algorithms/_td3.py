"""Options of TD3, and those that it shares with DDPG, as frozen dataclasses."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import optax

from jaxdaw import networks
from jaxdaw.agents import Td3Agent, check_bounded_floats
from jaxdaw.training.algorithms._environment_config import EnvironmentConfig, ReplayConfig


@dataclasses.dataclass(frozen=True)
class DeterministicPolicyGradientConfig(ReplayConfig):
    """Options that TD3 and DDPG share.

    Attributes:
      learning_starts: environment steps before the first gradient step; their actions are uniformly random.
      actor_learning_rate: of the actor's Adam.
      critic_learning_rate: of the critics' Adam.
      exploration_noise: deviation of the normal noise around the actions, in units of half the width of their bounds.
    """

    agent_name: ClassVar[str]
    random_starts: ClassVar[bool] = True

    steps: int = 20_000
    num_envs: int = 1
    eval_every: int = 2_000
    eval_episodes: int = 10
    report_every: int = 1_000
    checkpoint_every: int = 10_000
    actor_learning_rate: float = 1e-3
    critic_learning_rate: float = 1e-3
    exploration_noise: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        self.check_numbers(math.inf, "actor_learning_rate", "critic_learning_rate", above_0=True)
        self.check_numbers(math.inf, "exploration_noise")

    def agent_arguments(self, time_step_spec: Any, action_spec: Any, seed: int) -> dict[str, Any]:
        """Returns the constructor arguments that both agents take, networks and optimizers included."""
        check_bounded_floats(action_spec, self.agent_name)
        seen = time_step_spec.observation
        kind = networks.ActorRnnNetwork if self.network == "rnn" else networks.ActorNetwork
        return {
            "time_step_spec": time_step_spec,
            "action_spec": action_spec,
            "actor_network": kind(seen, action_spec, rngs=seed, **self.layer_options(seen)),
            "critic_network": make_critic(self, seen, action_spec, seed + 1),
            "actor_optimizer": optax.adam(self.actor_learning_rate),
            "critic_optimizer": optax.adam(self.critic_learning_rate),
            "td_errors_loss_fn": self.td_errors_loss_fn(),
            "scale_noise_to_bounds": True,
            **self.bootstrap_options(),
        }


@dataclasses.dataclass(frozen=True)
class Td3Config(DeterministicPolicyGradientConfig):
    """What `jaxdaw train td3` can be told. The defaults solve Pendulum-v1.

    Attributes:
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
        self.check_integers(1, "actor_update_period")
        self.check_numbers(math.inf, "target_policy_noise", "target_policy_noise_clip")

    def make_agent(self, time_step_spec: Any, action_spec: Any, seed: int = 0) -> Td3Agent:
        """Returns the agent that these options describe, with weights drawn from `seed`."""
        return Td3Agent(
            **self.agent_arguments(time_step_spec, action_spec, seed),
            exploration_noise_std=self.exploration_noise,
            actor_update_period=self.actor_update_period,
            target_policy_noise=self.target_policy_noise,
            target_policy_noise_clip=self.target_policy_noise_clip,
        )


def make_critic(config: EnvironmentConfig, observation_spec: Any, action_spec: Any, seed: int) -> networks.Network:
    """Returns a critic of the layers and the memory that the options say; it sees actions scaled to their bounds.

    Args:
      config: the options of an algorithm.
      observation_spec, action_spec: what the critic is given.
      seed: of its weights.
    """
    encoder = networks.encoder_options(observation_spec, config.conv_layer_params)
    on_both = {
        "observation_conv_layer_params": encoder["conv_layer_params"],
        "joint_fc_layer_params": tuple(config.fc_layer_params),
        "preprocessing_layers": encoder["preprocessing_layers"],
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
