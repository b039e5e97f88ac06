"""Options of DQN and its variants (C51, QR-DQN, Rainbow), as frozen dataclasses."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import optax

from jaxdaw import networks, specs
from jaxdaw.agents import CategoricalDqnAgent, DdqnAgent, DqnAgent, QrDqnAgent, check_range
from jaxdaw.errors import ConfigError
from jaxdaw.math import element_wise_huber_loss, element_wise_squared_loss
from jaxdaw.training._trainer import LoopOptions


@dataclasses.dataclass(frozen=True)
class DqnConfig:
    """What `jaxdaw train dqn` can be told. The defaults solve CartPole-v1.

    Attributes:
      steps: environment steps, over all environments; 50k and 1e6 are understood.
      num_envs: environments that step together.
      double: choose the next action by the online network (double DQN).
      network: q, or dueling, or rnn (LSTM over sequences).
      distribution: learn the distribution of the return instead of its mean: categorical (C51), or quantile (QR-DQN).
      num_atoms: atoms for each action, with `distribution categorical`.
      min_q_value: the return of the first atom, after `reward_scale_factor`.
      max_q_value: the return of the last atom, after `reward_scale_factor`.
      num_quantiles: quantiles for each action, with `distribution quantile`.
      noisy: explore by learned noise in the weights of dense layers (Fortunato et al. 2018), beside epsilon.
      fc_layer_params: units of the hidden layers.
      conv_layer_params: filters, kernel and stride of each convolution, for images; empty for none.
      lstm_size: units of the recurrent cell, with `network rnn`.
      sequence_length: frames in a training window, with `network rnn`.
      learning_rate: of Adam.
      learning_rate_end: linear decay to this share of it over the run; 1 keeps it.
      gradient_clipping: each variable's gradient is scaled to at most this norm; 0 for none.
      batch_size: windows in one gradient step.
      replay_capacity: frames kept.
      replay: how windows are drawn: uniform; prioritized by their temporal-difference errors (Schaul et al. 2016); or
        host, uniform from memory outside of the device, for images.
      frame_stack: images that the environment stacks along the last axis, which `replay host` stores once; 0 for none.
      priority_exponent: of the errors, with `replay prioritized`; 0 draws uniformly.
      importance_exponent: how far weights correct the prioritized draw at first; it grows linearly to 1 over the run.
      learning_starts: environment steps before the first gradient step.
      train_every: steps in each environment before each learning phase.
      updates: gradient steps in a learning phase; 0 is one for each environment step.
      gamma: discount of future rewards.
      n_step_update: rewards summed before bootstrapping; 0 is 5, and 1 with `network rnn`, which has no other.
      target_update_period: gradient steps between target updates.
      target_update_tau: share of the online weights at a target update.
      epsilon_start: exploration at the beginning.
      epsilon_end: exploration after `epsilon_steps`.
      epsilon_steps: environment steps of linear decay; 0 is a sixth of the run.
      boltzmann_temperature: explore by softmax with this temperature instead; 0 does not.
      reward_scale_factor: multiplies the rewards. Values of a few units keep the errors in the quadratic part of the
        Huber loss; where returns are in the hundreds, a factor of 1 leaves rare failures nearly unseen.
      td_errors_loss: huber or squared.
      mask_key: key of the action mask in dictionary observations; empty for none.
      max_episode_steps: time limit put on the environment; 0 keeps its own.
      eval_every: environment steps between two evaluations; 0 never evaluates.
      eval_episodes: greedy episodes in an evaluation.
      report_every: environment steps between two lines of metrics.
      checkpoint_every: environment steps between two checkpoints; 0 only at the end.
      debug_summaries: write TD errors, losses and values to TensorBoard.
      summarize_grads_and_vars: write gradients and variables to TensorBoard.
      summary_interval: gradient steps between two summaries.
    """

    steps: int = 50_000
    num_envs: int = 8
    double: bool = False
    network: Literal["q", "dueling", "rnn"] = "q"
    distribution: Literal["none", "categorical", "quantile"] = "none"
    num_atoms: int = 51
    min_q_value: float = -10.0
    max_q_value: float = 10.0
    num_quantiles: int = 32
    noisy: bool = False
    fc_layer_params: tuple[int, ...] = (128, 128)
    conv_layer_params: tuple[tuple[int, int, int], ...] = ()
    lstm_size: int = 40
    sequence_length: int = 16
    learning_rate: float = 1e-3
    learning_rate_end: float = 0.1
    gradient_clipping: float = 10.0
    batch_size: int = 64
    replay_capacity: int = 100_000
    replay: Literal["uniform", "prioritized", "host"] = "uniform"
    frame_stack: int = 0
    priority_exponent: float = 0.6
    importance_exponent: float = 0.4
    learning_starts: int = 1_000
    train_every: int = 32
    updates: int = 128
    gamma: float = 0.99
    n_step_update: int = 0
    target_update_period: int = 128
    target_update_tau: float = 1.0
    epsilon_start: float = 1.0
    epsilon_end: float = 0.04
    epsilon_steps: int = 0
    boltzmann_temperature: float = 0.0
    reward_scale_factor: float = 0.05
    td_errors_loss: Literal["huber", "squared"] = "huber"
    mask_key: str = ""
    max_episode_steps: int = 0
    eval_every: int = 3_000
    eval_episodes: int = 20
    report_every: int = 1_000
    checkpoint_every: int = 10_000
    debug_summaries: bool = False
    summarize_grads_and_vars: bool = False
    summary_interval: int = 100

    def __post_init__(self):
        for name in ("steps", "num_envs", "lstm_size", "eval_episodes", "summary_interval", "num_quantiles"):
            check_range(name, getattr(self, name), 1, math.inf, integer=True)
        for name in (
            "epsilon_steps",
            "eval_every",
            "checkpoint_every",
            "max_episode_steps",
            "updates",
            "frame_stack",
            "n_step_update",
        ):
            check_range(name, getattr(self, name), 0, math.inf, integer=True)
        for name in ("epsilon_start", "epsilon_end", "learning_rate_end"):
            check_range(name, getattr(self, name), 0.0, 1.0)
        check_range("learning_rate", self.learning_rate, 0.0, math.inf, low_open=True)
        check_range("gradient_clipping", self.gradient_clipping, 0.0, math.inf)
        check_range("boltzmann_temperature", self.boltzmann_temperature, 0.0, math.inf)
        check_range("num_atoms", self.num_atoms, 2, math.inf, integer=True)
        if self.network == "rnn" and (self.distribution != "none" or self.noisy):
            raise ConfigError(
                "recurrent networks have neither a distribution nor noise",
                expected="network q or dueling",
                got=f"network rnn, distribution {self.distribution}, noisy {self.noisy}",
            )

    def loop_options(self) -> LoopOptions:
        """Returns how the agent meets its experience."""
        return LoopOptions(
            batch_size=self.batch_size,
            replay_capacity=self.replay_capacity,
            learning_starts=self.learning_starts,
            train_every=self.train_every,
            updates=self.updates or None,
            sequence_length=self.sequence_length if self.network == "rnn" else None,
            report_every=self.report_every,
            replay=self.replay,
            frame_stack=self.frame_stack,
            priority_exponent=self.priority_exponent,
            importance_exponent=self.importance_exponent,
            importance_steps=self.steps,
        )

    def splitter(self) -> Callable[[Any], tuple[Any, Any]] | None:
        """Returns the splitter that takes the mask out of dictionary observations, or None."""
        return mask_splitter(self.mask_key) if self.mask_key else None

    def make_agent(self, time_step_spec: Any, action_spec: Any, seed: int = 0) -> DqnAgent:
        """Returns the agent that these options describe, with weights drawn from `seed`."""
        splitter = self.splitter()
        observation_spec = time_step_spec.observation if splitter is None else splitter(time_step_spec.observation)[0]
        decay = self.epsilon_steps or self.steps // 6
        temperature = self.boltzmann_temperature or None
        common = {
            "optimizer": self._optimizer(),
            "observation_and_action_constraint_splitter": splitter,
            "epsilon_greedy": None
            if temperature
            else optax.linear_schedule(self.epsilon_start, self.epsilon_end, decay),
            "boltzmann_temperature": temperature,
            "n_step_update": self.n_step_update or (1 if self.network == "rnn" else 5),
            "target_update_tau": self.target_update_tau,
            "target_update_period": self.target_update_period,
            "gamma": self.gamma,
            "reward_scale_factor": self.reward_scale_factor,
            "gradient_clipping": self.gradient_clipping or None,
            "debug_summaries": self.debug_summaries,
            "summarize_grads_and_vars": self.summarize_grads_and_vars,
            "summary_interval": self.summary_interval,
        }
        network = self._network(observation_spec, action_spec, seed)
        if self.distribution == "categorical":
            return CategoricalDqnAgent(
                time_step_spec,
                action_spec,
                network,
                min_q_value=self.min_q_value,
                max_q_value=self.max_q_value,
                double=self.double,
                **common,
            )
        if self.distribution == "quantile":
            return QrDqnAgent(time_step_spec, action_spec, network, double=self.double, **common)
        loss = _LOSSES[self.td_errors_loss]
        agent = DdqnAgent if self.double else DqnAgent
        return agent(time_step_spec, action_spec, network, td_errors_loss_fn=loss, **common)

    def _network(self, observation_spec: Any, action_spec: Any, seed: int) -> networks.Network:
        common = {**encoder_options(observation_spec, self.conv_layer_params), "rngs": seed}
        layers = tuple(self.fc_layer_params)
        if self.network == "rnn":
            return networks.QRnnNetwork(
                observation_spec,
                action_spec,
                input_fc_layer_params=layers,
                lstm_size=(self.lstm_size,),
                output_fc_layer_params=None,
                **common,
            )
        common |= {"fc_layer_params": layers, "noisy": self.noisy}
        dueling = self.network == "dueling"
        if self.distribution == "categorical":
            return networks.CategoricalQNetwork(
                observation_spec, action_spec, self.num_atoms, dueling=dueling, **common
            )
        if self.distribution == "quantile":
            return networks.QuantileQNetwork(
                observation_spec, action_spec, self.num_quantiles, dueling=dueling, **common
            )
        return (networks.DuelingQNetwork if dueling else networks.QNetwork)(observation_spec, action_spec, **common)

    def _optimizer(self) -> optax.GradientTransformation:
        if self.learning_rate_end == 1.0:
            return optax.adam(self.learning_rate)
        updates = self.steps if not self.updates else self.steps * self.updates // (self.num_envs * self.train_every)
        return optax.adam(
            optax.linear_schedule(self.learning_rate, self.learning_rate * self.learning_rate_end, updates)
        )


@dataclasses.dataclass(frozen=True)
class C51Config(DqnConfig):
    """What `jaxdaw train c51` can be told: DQN with a distribution of the return over atoms."""

    network: Literal["q", "dueling"] = "q"
    distribution: Literal["categorical"] = "categorical"
    n_step_update: int = 3


@dataclasses.dataclass(frozen=True)
class QrDqnConfig(DqnConfig):
    """What `jaxdaw train qrdqn` can be told: DQN with quantiles of the return."""

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


def encoder_options(observation_spec: Any, conv_layer_params: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Returns how networks encode these observations: several leaves are joined, images go through convolutions.

    Args:
      observation_spec: a nest of specs.
      conv_layer_params: filters, kernel and stride of each convolution; empty takes those of Mnih et al. 2015 where
        there are images.
    """
    leaves = specs.flatten(observation_spec)
    convolutions: Any = [tuple(layer) for layer in conv_layer_params] or None
    if convolutions is None and any(len(leaf.shape) == 3 for leaf in leaves):
        convolutions = [(32, 8, 4), (64, 4, 2), (64, 3, 1)]
    combiner = networks.concatenate if len(leaves) > 1 else None
    return {"preprocessing_combiner": combiner, "conv_layer_params": convolutions}


def mask_splitter(mask_key: str) -> Callable[[Any], tuple[Any, Any]]:
    """Returns a splitter for dictionary observations of which one entry is the mask of allowed actions.

    >>> mask_splitter("mask")({"position": 1, "mask": 0})
    (1, 0)
    """

    def split(observation: Any) -> tuple[Any, Any]:
        if not isinstance(observation, dict) or mask_key not in observation:
            raise ConfigError(
                "mask_key names no entry of the observations",
                expected=f"a dictionary with '{mask_key}'",
                got=str(sorted(observation)) if isinstance(observation, dict) else type(observation).__name__,
            )
        rest = {key: value for key, value in observation.items() if key != mask_key}
        return (next(iter(rest.values())) if len(rest) == 1 else rest), observation[mask_key]

    return split


_LOSSES = {"huber": element_wise_huber_loss, "squared": element_wise_squared_loss}
