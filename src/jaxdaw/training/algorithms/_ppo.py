"""Options of PPO, and of A2C, which is one pass of it, as frozen dataclasses."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from jaxdaw import networks, specs
from jaxdaw.agents import PPOAgent
from jaxdaw.errors import ConfigError
from jaxdaw.policies import split_observation
from jaxdaw.training._trainer import LoopOptions
from jaxdaw.training.algorithms._environment_config import EnvironmentConfig, falling, mask_splitter


@dataclasses.dataclass(frozen=True)
class PpoConfig(EnvironmentConfig):
    """What `jaxdaw train ppo` can be told. The defaults solve CartPole-v1.

    Attributes:
      network: mlp, or rnn (LSTM over the steps of a rollout).
      gradient_clipping: the norm of all gradients together is scaled to at most this; 0 for none.
      rollout_steps: steps in each environment before each learning phase.
      epochs: passes over a rollout.
      minibatches: gradient steps in a pass; they share the frames of a rollout evenly, or with `network rnn` its
        environments.
      activation: of the hidden layers.
      orthogonal_init: start from orthogonal kernels of gain sqrt(2), 0.01 for actions and 1 for values; otherwise from
        those of the networks' own defaults.
      importance_ratio_clipping: how far from 1 the ratio of a new probability to the old one still matters; 0 for no
        bound.
      importance_ratio_clipping_end: linear decay to this share of it over the run; 1 keeps it.
      initial_adaptive_kl_beta: weight of the divergence from the old policy at first; it adapts; 0 for none.
      adaptive_kl_target: divergence for which that weight is adapted, in nats.
      target_kl: pass over the rest of a rollout once the policy has moved by 1.5 times this, in nats; 0 for never.
      value_clipping: how far a new value may be from the old one before its error counts as there; 0 for no bound.
      value_pred_loss_coef: of the value network's squared error.
      entropy_regularization: of the entropy of the policy; 0 for none.
      normalize_advantages: bring the advantages of a minibatch to mean 0 and deviation 1.
      normalize: what is divided by a running deviation: observation, reward (by that of returns), or both.
      learning_rate: of Adam.
      learning_rate_end: linear decay to this share of it over the run; 1 keeps it.
      lambda_value: of generalized advantages; 0 trusts the values, 1 the rewards.
      mask_key: key of the action mask in dictionary observations; empty for none.
    """

    lstm_size: int = 64
    gradient_clipping: float = 0.5
    gamma: float = 0.98
    rollout_steps: int = 32
    epochs: int = 20
    minibatches: int = 1
    activation: Literal["tanh", "relu"] = "tanh"
    orthogonal_init: bool = True
    importance_ratio_clipping: float = 0.2
    importance_ratio_clipping_end: float = 0.0
    initial_adaptive_kl_beta: float = 0.0
    adaptive_kl_target: float = 0.01
    target_kl: float = 0.0
    value_clipping: float = 0.0
    value_pred_loss_coef: float = 0.5
    entropy_regularization: float = 0.0
    normalize_advantages: bool = True
    normalize: tuple[Literal["observation", "reward"], ...] = ()
    learning_rate: float = 1e-3
    learning_rate_end: float = 0.0
    lambda_value: float = 0.8
    mask_key: str = ""

    def __post_init__(self):
        super().__post_init__()
        self.check_integers(1, "rollout_steps", "epochs", "minibatches")
        self.check_numbers(1.0, "learning_rate_end", "importance_ratio_clipping_end", "lambda_value")
        self.check_numbers(math.inf, "learning_rate", "adaptive_kl_target", above_0=True)
        self.check_numbers(math.inf, "importance_ratio_clipping", "value_clipping", "target_kl")
        self.check_numbers(math.inf, "initial_adaptive_kl_beta", "value_pred_loss_coef", "entropy_regularization")
        rows = self.num_envs if self.network == "rnn" else self.num_envs * self.rollout_steps
        if rows % self.minibatches:
            of_what = "environments" if self.network == "rnn" else "frames"
            raise ConfigError(
                f"the {of_what} of a rollout cannot be dealt evenly to its minibatches",
                expected=f"a divisor of {rows}",
                got=f"minibatches={self.minibatches}",
            )

    def loop_options(self) -> LoopOptions:
        """Returns how the agent meets its experience."""
        return LoopOptions(
            replay="rollout",
            train_every=self.rollout_steps,
            learning_starts=0,
            report_every=self.report_every,
            epochs=self.epochs,
            minibatches=self.minibatches,
            by_sequence=self.network == "rnn",
            overlap=1,
        )

    def make_agent(self, time_step_spec: Any, action_spec: Any, seed: int = 0) -> PPOAgent:
        """Returns the agent that these options describe, with weights drawn from `seed`."""
        splitter = mask_splitter(self.mask_key)
        observation_spec = split_observation(splitter, time_step_spec.observation)[0]
        self._check_normalized(observation_spec)
        actor, value = self._networks(observation_spec, action_spec, seed)
        gradient_steps = max(self.steps // (self.num_envs * self.rollout_steps), 1) * self.epochs * self.minibatches
        clipping: Any = self.importance_ratio_clipping
        if clipping:
            clipping = falling(clipping, self.importance_ratio_clipping_end, gradient_steps)
        return PPOAgent(
            time_step_spec,
            action_spec,
            optax.adam(falling(self.learning_rate, self.learning_rate_end, gradient_steps), eps=1e-5),
            actor,
            value,
            importance_ratio_clipping=clipping,
            lambda_value=self.lambda_value,
            discount_factor=self.gamma,
            entropy_regularization=self.entropy_regularization,
            value_pred_loss_coef=self.value_pred_loss_coef,
            num_epochs=self.epochs,
            use_gae=True,
            use_td_lambda_return=True,
            normalize_rewards="reward" in self.normalize,
            normalize_observations="observation" in self.normalize,
            kl_cutoff_factor=0.0,
            initial_adaptive_kl_beta=self.initial_adaptive_kl_beta,
            adaptive_kl_target=self.adaptive_kl_target,
            gradient_clipping=self.gradient_clipping,
            value_clipping=self.value_clipping,
            observation_and_action_constraint_splitter=splitter,
            normalize_advantages=self.normalize_advantages,
            reward_normalization="return",
            target_kl=self.target_kl or None,
            **self.summary_options(),
        )

    def _check_normalized(self, observation_spec: Any) -> None:
        for path, spec in specs.flatten_with_path(observation_spec) if "observation" in self.normalize else ():
            if not specs.is_continuous(spec):
                raise ConfigError(
                    f"normalize observation has no meaning for integers{f' at {path}' if path else ''}",
                    expected="floats",
                    got=str(spec),
                    cause="categories and images, which are encoded by their kind.",
                    fix="leave observation out of normalize",
                )

    def _networks(self, observation_spec: Any, action_spec: Any, seed: int) -> tuple[networks.Network, ...]:
        orthogonal = jax.nn.initializers.orthogonal
        hidden, last, value_last = None, None, None
        if self.orthogonal_init:
            hidden, last, value_last = orthogonal(math.sqrt(2.0)), orthogonal(0.01), orthogonal(1.0)
        common: dict[str, Any] = {
            "activation_fn": {"tanh": jax.nn.tanh, "relu": jax.nn.relu}[self.activation],
            "kernel_initializer": hidden,
        }
        heads: dict[str, Any] = {
            "discrete_projection_net": functools.partial(networks.CategoricalProjection, kernel_initializer=last),
            "continuous_projection_net": functools.partial(
                networks.NormalProjection,
                std_bias_initializer_value=0.0,
                mean_transform=None,
                std_transform=jnp.exp,
                kernel_initializer=last,
            ),
        }
        actor: Any = networks.ActorDistributionNetwork
        value: Any = networks.ValueNetwork
        if self.network == "rnn":
            actor, value = networks.ActorDistributionRnnNetwork, networks.ValueRnnNetwork
        return (
            actor(observation_spec, action_spec, rngs=seed, **self.layer_options(observation_spec), **common, **heads),
            value(
                observation_spec,
                rngs=seed + 1,
                last_kernel_initializer=value_last,
                **self.layer_options(observation_spec),
                **common,
            ),
        )


@dataclasses.dataclass(frozen=True)
class A2cConfig(PpoConfig):
    """What `jaxdaw train a2c` can be told: PPO with one pass over each rollout, where no ratio differs from 1."""

    gamma: float = 0.99
    rollout_steps: int = 16
    epochs: Literal[1] = 1
    minibatches: Literal[1] = 1
    importance_ratio_clipping: float = 0.0
    normalize_advantages: bool = False
    learning_rate: float = 3e-3
    lambda_value: float = 1.0
