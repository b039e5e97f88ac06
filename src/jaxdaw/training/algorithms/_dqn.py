"""Options of DQN and its variants (C51, QR-DQN, Rainbow), as frozen dataclasses."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import optax

from jaxdaw import networks
from jaxdaw.agents import CategoricalDqnAgent, DdqnAgent, DqnAgent, QrDqnAgent, check_range
from jaxdaw.errors import ConfigError
from jaxdaw.policies import split_observation
from jaxdaw.training.algorithms._environment_config import ReplayConfig, falling, mask_splitter


@dataclasses.dataclass(frozen=True)
class DqnConfig(ReplayConfig):
    """What `jaxdaw train dqn` can be told. The defaults solve CartPole-v1.

    Attributes:
      network: q, or dueling, or rnn (LSTM over sequences).
      reward_scale_factor: multiplies the rewards. Values of a few units keep the errors in the quadratic part of the
        Huber loss; where returns are in the hundreds, a factor of 1 leaves rare failures nearly unseen.
      double: choose the next action by the online network (double DQN).
      distribution: learn the distribution of the return instead of its mean: categorical (C51), or quantile (QR-DQN).
      num_atoms: atoms for each action, with `distribution categorical`.
      min_q_value: the return of the first atom, after `reward_scale_factor`.
      max_q_value: the return of the last atom, after `reward_scale_factor`.
      num_quantiles: quantiles for each action, with `distribution quantile`.
      noisy: explore by learned noise in the weights of dense layers (Fortunato et al. 2018), beside epsilon.
      learning_rate: of Adam.
      learning_rate_end: linear decay to this share of it over the run; 1 keeps it.
      n_step_update: rewards summed before bootstrapping; 0 is 5, and 1 with `network rnn`, which has no other.
      epsilon_start: exploration at the beginning.
      epsilon_end: exploration after `epsilon_steps`.
      epsilon_steps: environment steps of linear decay; 0 is a sixth of the run.
      boltzmann_temperature: explore by softmax with this temperature instead; 0 does not.
      mask_key: key of the action mask in dictionary observations; empty for none.
    """

    steps: int = 50_000
    network: Literal["q", "dueling", "rnn"] = "q"  # type: ignore[assignment]  # names of its own
    fc_layer_params: tuple[int, ...] = (128, 128)
    gradient_clipping: float = 10.0
    batch_size: int = 64
    replay_capacity: int = 100_000
    train_every: int = 32
    updates: int = 128
    target_update_tau: float = 1.0
    target_update_period: int = 128
    reward_scale_factor: float = 0.05
    td_errors_loss: Literal["huber", "squared"] = "huber"
    eval_every: int = 3_000
    report_every: int = 1_000
    checkpoint_every: int = 10_000
    double: bool = False
    distribution: Literal["none", "categorical", "quantile"] = "none"
    num_atoms: int = 51
    min_q_value: float = -10.0
    max_q_value: float = 10.0
    num_quantiles: int = 32
    noisy: bool = False
    learning_rate: float = 1e-3
    learning_rate_end: float = 0.1
    n_step_update: int = 0
    epsilon_start: float = 1.0
    epsilon_end: float = 0.04
    epsilon_steps: int = 0
    boltzmann_temperature: float = 0.0
    mask_key: str = ""

    def __post_init__(self):
        super().__post_init__()
        self.check_integers(1, "num_quantiles")
        self.check_integers(0, "epsilon_steps", "n_step_update")
        self.check_numbers(1.0, "epsilon_start", "epsilon_end", "learning_rate_end")
        self.check_numbers(math.inf, "learning_rate", above_0=True)
        self.check_numbers(math.inf, "boltzmann_temperature")
        check_range("num_atoms", self.num_atoms, 2, math.inf, integer=True)
        if self.network == "rnn" and (self.distribution != "none" or self.noisy):
            raise ConfigError(
                "recurrent networks have neither a distribution nor noise",
                expected="network q or dueling",
                got=f"network rnn, distribution {self.distribution}, noisy {self.noisy}",
            )

    def make_agent(self, time_step_spec: Any, action_spec: Any, seed: int = 0) -> DqnAgent:
        """Returns the agent that these options describe, with weights drawn from `seed`."""
        splitter = mask_splitter(self.mask_key)
        network = self._network(split_observation(splitter, time_step_spec.observation)[0], action_spec, seed)
        decay = self.epsilon_steps or self.steps // 6
        temperature = self.boltzmann_temperature or None
        epsilon = None if temperature else optax.linear_schedule(self.epsilon_start, self.epsilon_end, decay)
        common: dict[str, Any] = {
            "optimizer": optax.adam(falling(self.learning_rate, self.learning_rate_end, self._gradient_steps())),
            "observation_and_action_constraint_splitter": splitter,
            "epsilon_greedy": epsilon,
            "boltzmann_temperature": temperature,
            "n_step_update": self.n_step_update or (1 if self.network == "rnn" else 5),
            **self.bootstrap_options(),
        }
        given = (time_step_spec, action_spec, network)
        if self.distribution == "categorical":
            bounds = {"min_q_value": self.min_q_value, "max_q_value": self.max_q_value}
            return CategoricalDqnAgent(*given, **bounds, double=self.double, **common)
        if self.distribution == "quantile":
            return QrDqnAgent(*given, double=self.double, **common)
        return (DdqnAgent if self.double else DqnAgent)(*given, td_errors_loss_fn=self.td_errors_loss_fn(), **common)

    def _network(self, observation_spec: Any, action_spec: Any, seed: int) -> networks.Network:
        given, common = (observation_spec, action_spec), {**self.layer_options(observation_spec), "rngs": seed}
        if self.network == "rnn":
            return networks.QRnnNetwork(*given, **common)
        common["noisy"], dueling = self.noisy, self.network == "dueling"
        if self.distribution == "categorical":
            return networks.CategoricalQNetwork(*given, self.num_atoms, dueling=dueling, **common)
        if self.distribution == "quantile":
            return networks.QuantileQNetwork(*given, self.num_quantiles, dueling=dueling, **common)
        return (networks.DuelingQNetwork if dueling else networks.QNetwork)(*given, **common)

    def _gradient_steps(self) -> int:
        return self.steps * self.updates // (self.num_envs * self.train_every) if self.updates else self.steps


@dataclasses.dataclass(frozen=True)
class C51Config(DqnConfig):
    """What `jaxdaw train c51` can be told: DQN with a distribution of the return over atoms.

    Attributes:
      network: q, or dueling.
    """

    network: Literal["q", "dueling"] = "q"
    distribution: Literal["categorical"] = "categorical"
    n_step_update: int = 3


@dataclasses.dataclass(frozen=True)
class QrDqnConfig(DqnConfig):
    """What `jaxdaw train qrdqn` can be told: DQN with quantiles of the return.

    Attributes:
      network: q, or dueling.
    """

    network: Literal["q", "dueling"] = "q"
    distribution: Literal["quantile"] = "quantile"
    learning_rate_end: float = 1.0
    n_step_update: int = 3


@dataclasses.dataclass(frozen=True)
class RainbowConfig(C51Config):
    """What `jaxdaw train rainbow` can be told: C51, double, duelling, prioritized, n-step, with noisy layers."""

    double: bool = True
    network: Literal["q", "dueling"] = "dueling"
    noisy: bool = True
    learning_rate: float = 5e-4
    replay: Literal["uniform", "prioritized", "host"] = "prioritized"
    epsilon_start: float = 0.0
    epsilon_end: float = 0.0
