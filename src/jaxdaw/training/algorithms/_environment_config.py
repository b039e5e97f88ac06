"""Options that algorithms share: of all that learn in an environment, and of those that learn from a replay there."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import jax
import optax

from jaxdaw import networks
from jaxdaw.agents import check_range
from jaxdaw.errors import ConfigError
from jaxdaw.math import element_wise_huber_loss, element_wise_squared_loss
from jaxdaw.training._options import check_kinds
from jaxdaw.training._trainer import LoopOptions

_LARGEST = 2**31 - 1
"""What counts and sizes do not exceed: they are int32 on the device."""


@dataclasses.dataclass(frozen=True)
class EnvironmentConfig:
    """Options of every algorithm that learns in an environment; each has defaults of its own.

    Attributes:
      steps: environment steps, over all environments; 50k and 1e6 are understood.
      num_envs: environments that step together.
      network: mlp, or rnn (LSTM over sequences).
      fc_layer_params: units of the hidden layers, of each network.
      conv_layer_params: filters, kernel and stride of each convolution, for images; empty for what fits their size.
      lstm_size: units of the recurrent cells, with `network rnn`.
      gradient_clipping: each variable's gradient is scaled to at most this norm; 0 for none.
      gamma: discount of future rewards.
      max_episode_steps: time limit put on the environment; 0 keeps its own.
      eval_every: environment steps between two evaluations; 0 never evaluates.
      eval_episodes: greedy episodes in an evaluation.
      report_every: environment steps between two lines of metrics.
      checkpoint_every: environment steps between two checkpoints; 0 only at the end.
      debug_summaries: write losses and what they are made of to TensorBoard.
      summarize_grads_and_vars: write gradients and variables to TensorBoard.
      summary_interval: gradient steps between two summaries.
    """

    steps: int = 100_000
    num_envs: int = 8
    network: Literal["mlp", "rnn"] = "mlp"
    fc_layer_params: tuple[int, ...] = (64, 64)
    conv_layer_params: tuple[tuple[int, int, int], ...] = ()
    lstm_size: int = 40
    gradient_clipping: float = 0.0
    gamma: float = 0.99
    max_episode_steps: int = 0
    eval_every: int = 10_000
    eval_episodes: int = 20
    report_every: int = 5_000
    checkpoint_every: int = 50_000
    debug_summaries: bool = False
    summarize_grads_and_vars: bool = False
    summary_interval: int = 100

    def __post_init__(self):
        check_kinds(self)
        for units in self.fc_layer_params:
            check_range("fc_layer_params", units, 1, _LARGEST, integer=True)
        self.check_integers(1, "steps", "num_envs", "lstm_size", "eval_episodes", "report_every", "summary_interval")
        self.check_integers(0, "max_episode_steps", "eval_every", "checkpoint_every")
        self.check_numbers(math.inf, "gradient_clipping")
        self.check_numbers(1.0, "gamma")

    def check_integers(self, least: int, *names: str) -> None:
        """Checks that options are integers of at least `least`; raises a ConfigError that names one that is not."""
        for name in names:
            check_range(name, getattr(self, name), least, _LARGEST, integer=True)

    def check_numbers(self, greatest: float, *names: str, above_0: bool = False) -> None:
        """Checks that options are from 0 to `greatest`; raises a ConfigError that names one that is not."""
        for name in names:
            check_range(name, getattr(self, name), 0.0, greatest, low_open=above_0)

    def layer_options(self, observation_spec: Any) -> dict[str, Any]:
        """Returns the arguments of one network for these observations: encoder, hidden layers, and memory."""
        encoder = networks.encoder_options(observation_spec, self.conv_layer_params)
        layers = tuple(self.fc_layer_params)
        if self.network != "rnn":
            return {**encoder, "fc_layer_params": layers}
        memory = {"lstm_size": (self.lstm_size,), "output_fc_layer_params": None}
        return {**encoder, "input_fc_layer_params": layers, **memory}

    def summary_options(self) -> dict[str, Any]:
        """Returns what every agent is told of its summaries."""
        return {
            "debug_summaries": self.debug_summaries,
            "summarize_grads_and_vars": self.summarize_grads_and_vars,
            "summary_interval": self.summary_interval,
        }


@dataclasses.dataclass(frozen=True)
class ReplayConfig(EnvironmentConfig):
    """Options of every algorithm that learns from a replay in an environment; each has defaults of its own.

    Attributes:
      batch_size: windows in one gradient step.
      replay_capacity: frames kept.
      replay: how windows are drawn: uniform; prioritized by their temporal-difference errors (Schaul et al. 2016); or
        host, uniform from memory outside of the device, for images.
      frame_stack: images that the environment stacks along the last axis, which `replay host` stores once; 0 for none.
      priority_exponent: of the errors, with `replay prioritized`; 0 draws uniformly.
      importance_exponent: how far weights correct the prioritized draw at first; it grows linearly to 1 over the run.
      sequence_length: frames in a training window, with `network rnn`.
      learning_starts: environment steps before the first gradient step.
      train_every: steps in each environment before each learning phase.
      updates: gradient steps in a learning phase; 0 is one for each environment step.
      target_update_tau: share of the online weights at a target update.
      target_update_period: gradient steps between target updates.
      reward_scale_factor: multiplies the rewards.
      td_errors_loss: huber or squared.
    """

    random_starts: ClassVar[bool] = False
    """Whether actions before `learning_starts` are uniformly random."""

    batch_size: int = 128
    replay_capacity: int = 200_000
    replay: Literal["uniform", "prioritized", "host"] = "uniform"
    frame_stack: int = 0
    priority_exponent: float = 0.6
    importance_exponent: float = 0.4
    sequence_length: int = 16
    learning_starts: int = 1_000
    train_every: int = 8
    updates: int = 0
    target_update_tau: float = 0.005
    target_update_period: int = 1
    reward_scale_factor: float = 1.0
    td_errors_loss: Literal["huber", "squared"] = "squared"

    def __post_init__(self):
        super().__post_init__()
        self.check_integers(1, "batch_size", "replay_capacity", "train_every", "target_update_period")
        self.check_integers(0, "updates", "frame_stack", "learning_starts")

    def loop_options(self) -> LoopOptions:
        """Returns how the agent meets its experience."""
        return LoopOptions(
            batch_size=self.batch_size,
            replay_capacity=self.replay_capacity,
            learning_starts=self.learning_starts,
            random_starts=self.random_starts,
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

    def td_errors_loss_fn(self) -> Callable[[jax.Array, jax.Array], jax.Array]:
        """Returns the element-wise loss that `td_errors_loss` names."""
        return {"huber": element_wise_huber_loss, "squared": element_wise_squared_loss}[self.td_errors_loss]

    def bootstrap_options(self) -> dict[str, Any]:
        """Returns what every agent with target networks is told, but for its loss."""
        return {
            "target_update_tau": self.target_update_tau,
            "target_update_period": self.target_update_period,
            "gamma": self.gamma,
            "reward_scale_factor": self.reward_scale_factor,
            "gradient_clipping": self.gradient_clipping or None,
            **self.summary_options(),
        }


def falling(start: float, share: float, updates: int) -> float | optax.Schedule:
    """Returns a schedule from `start` linearly to `share` of it in so many updates; where `share` is 1, the number."""
    return start if share == 1.0 else optax.linear_schedule(start, start * share, updates)


def mask_splitter(mask_key: str) -> Callable[[Any], tuple[Any, Any]] | None:
    """Returns a splitter for dictionary observations of which one entry is the mask of allowed actions.

    Args:
      mask_key: the key of that entry; empty for no splitter.

    >>> mask_splitter("mask")({"position": 1, "mask": 0})
    (1, 0)
    """
    if not mask_key:
        return None

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
