"""Options of cloning a policy from demonstrations, as a frozen dataclass."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, Literal

import numpy as np
import optax

from jaxdaw import networks, specs
from jaxdaw.agents import BehavioralCloningAgent, check_range, nested_loss
from jaxdaw.training._options import check_kinds


@dataclasses.dataclass(frozen=True)
class BcConfig:
    """What `jaxdaw train bc` can be told. The defaults clone the experts of CartPole and Pendulum.

    Attributes:
      epochs: rounds of training at most, each of one pass over the data, or of more where the data is small.
      epoch_updates: gradient steps in an epoch at least: small data is passed over as often as that takes.
      patience: epochs without a lower validation loss before training stops; 0 never stops early.
      validation: share of the episodes, drawn at random, that is kept for the validation loss; 0 for none. None is a
        tenth if that makes 5 episodes, else none: fewer say little, and training needs them more.
      network: mlp, or rnn (LSTM over sequences).
      fc_layer_params: units of the hidden layers. None is (256, 256), and (64, 64) if all actions are discrete.
      conv_layer_params: filters, kernel and stride of each convolution, for images; empty for what fits their size.
      lstm_size: units of the recurrent cell, with `network rnn`.
      sequence_length: steps in a training sequence, with `network rnn`.
      normalize: bring float observations to mean 0 and deviation 1, by the episodes that are trained on.
      loss: what is minimised for float actions: log_likelihood, or the squared error of the mode or of a sample.
      learning_rate: of Adam at the beginning; it falls to 0 along a cosine over `epochs`. None is 1e-3, and 3e-4 if all
        actions are discrete: of few steps a large or fast classifier soon knows the chance in the labels by heart.
      weight_decay: share of each weight that Adam takes away, times the learning rate.
      gradient_clipping: each variable's gradient is scaled to at most this norm; 0 for none.
      batch_size: steps in one gradient step; sequences, with `network rnn`.
      max_episode_steps: time limit put on the environment; 0 keeps its own.
      eval_every: epochs between two evaluations in the environment; 0 only evaluates at the end.
      eval_episodes: greedy episodes in an evaluation.
      checkpoint_every: epochs between two checkpoints; 0 only at the end.
    """

    epochs: int = 30
    epoch_updates: int = 200
    patience: int = 8
    validation: float | None = None
    network: Literal["mlp", "rnn"] = "mlp"
    fc_layer_params: tuple[int, ...] | None = None
    conv_layer_params: tuple[tuple[int, int, int], ...] = ()
    lstm_size: int = 64
    sequence_length: int = 32
    normalize: bool = True
    loss: Literal["log_likelihood", "mode", "sample"] = "log_likelihood"
    learning_rate: float | None = None
    weight_decay: float = 1e-4
    gradient_clipping: float = 0.0
    batch_size: int = 64
    max_episode_steps: int = 0
    eval_every: int = 5
    eval_episodes: int = 20
    checkpoint_every: int = 2

    def __post_init__(self):
        check_kinds(self)
        for name in ("epochs", "epoch_updates", "lstm_size", "sequence_length", "batch_size", "eval_episodes"):
            check_range(name, getattr(self, name), 1, math.inf, integer=True)
        for name in ("patience", "max_episode_steps", "eval_every", "checkpoint_every"):
            check_range(name, getattr(self, name), 0, math.inf, integer=True)
        check_range("validation", self.validation or 0.0, 0.0, 0.9)
        if self.learning_rate is not None:
            check_range("learning_rate", self.learning_rate, 0.0, math.inf, low_open=True)
        for name in ("weight_decay", "gradient_clipping"):
            check_range(name, getattr(self, name), 0.0, math.inf)

    def validation_episodes(self, episodes: int) -> int:
        """Returns how many of so many episodes are kept for validation."""
        if self.validation is None:
            tenth = round(episodes / 10)
            return tenth if tenth >= 5 else 0
        return min(max(round(self.validation * episodes), 1), episodes - 1) if self.validation else 0

    def for_actions(self, action_spec: Any) -> BcConfig:
        """Returns the options with the layers and the learning rate that None stands for, for these actions."""
        layers, rate = (
            ((64, 64), 3e-4) if all(map(specs.is_discrete, specs.flatten(action_spec))) else ((256, 256), 1e-3)
        )
        return dataclasses.replace(
            self,
            fc_layer_params=layers if self.fc_layer_params is None else self.fc_layer_params,
            learning_rate=rate if self.learning_rate is None else self.learning_rate,
        )

    def make_agent(
        self,
        time_step_spec: Any,
        action_spec: Any,
        seed: int = 0,
        updates: int | None = None,
        preprocessing_layers: Any = None,
    ) -> BehavioralCloningAgent:
        """Returns the agent that these options describe.

        Args:
          time_step_spec, action_spec: of the environment or of the data.
          seed: of the weights.
          updates: gradient steps in all epochs, over which the learning rate falls; None keeps it.
          preprocessing_layers: a nest that matches the observation, see `EncodingNetwork`; the normalizers, say.
        """
        actions = specs.flatten(action_spec)
        bounded = all(_has_bounds(spec) for spec in actions if specs.is_continuous(spec))
        projection: Any = networks.NormalProjection
        common: dict[str, Any] = {
            **networks.encoder_options(time_step_spec.observation, self.conv_layer_params, preprocessing_layers),
            "continuous_projection_net": projection if bounded else functools.partial(projection, mean_transform=None),
            "rngs": seed,
        }
        chosen = self.for_actions(action_spec)
        layers: Any = chosen.fc_layer_params
        network: networks.Network
        if self.network == "rnn":
            network = networks.ActorDistributionRnnNetwork(
                time_step_spec.observation,
                action_spec,
                input_fc_layer_params=layers,
                lstm_size=(self.lstm_size,),
                output_fc_layer_params=None,
                **common,
            )
        else:
            network = networks.ActorDistributionNetwork(
                time_step_spec.observation, action_spec, fc_layer_params=layers, **common
            )
        peak: Any = chosen.learning_rate
        rate = peak if updates is None else optax.cosine_decay_schedule(peak, updates)
        plain = len(actions) == 1 and (specs.is_continuous(actions[0]) or actions[0].shape == ())
        return BehavioralCloningAgent(
            time_step_spec,
            action_spec,
            network,
            optax.adamw(rate, weight_decay=self.weight_decay),
            num_outer_dims=2 if self.network == "rnn" else 1,
            loss_fn=None if plain else nested_loss,
            gradient_clipping=self.gradient_clipping or None,
            loss=self.loss,
        )


def _has_bounds(spec: specs.TensorSpec) -> bool:
    bounded = isinstance(spec, specs.BoundedTensorSpec)
    return bounded and bool(np.isfinite([np.min(spec.minimum), np.max(spec.maximum)]).all())
