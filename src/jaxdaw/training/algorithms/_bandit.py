"""Options of learning a bandit online, as a frozen dataclass."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdaw import networks, specs
from jaxdaw.agents import (
    EnsembleThompsonSamplingAgent,
    GreedyRewardPredictionAgent,
    LinearThompsonSamplingAgent,
    LinearUCBAgent,
    check_range,
)
from jaxdaw.environments import BanditEnvironment
from jaxdaw.errors import ConfigError
from jaxdaw.math import element_wise_log_loss, element_wise_squared_loss
from jaxdaw.policies import BoltzmannPolicy, EpsilonGreedyPolicy, FalconPolicy, FastCBPolicy, SquareCBPolicy
from jaxdaw.training._bandit_loop import BanditLoop
from jaxdaw.training._options import check_kinds


@dataclasses.dataclass(frozen=True)
class BanditConfig:
    """What `jaxdaw train bandit` can be told.

    Attributes:
      horizon: rounds; 0 is one pass over a table, and 10,000 of a bandit that is drawn.
      exploration: fastcb, squarecb, falcon, epsilon_greedy, boltzmann (softmax of the predicted rewards) or greedy
        (never), of a neural reward model; ensemble, Thompson sampling among several of them; linucb or lints, exact
        linear models. auto is fastcb where rewards are learned as probabilities (see `loss`), else squarecb.
      gamma_scale: of squarecb: gamma in round t is `gamma_scale * sqrt(actions * (t + 1))`; the larger, the greedier.
        fastcb is as greedy where the best action fails in a quarter of all cases, and greedier where it fails less.
      exploitation: of falcon: gamma in round t is `exploitation * sqrt(allowed actions * t / numbers in the network)`.
      epsilon_scale: of epsilon_greedy: epsilon in round t is `epsilon_end + epsilon_scale * actions / (t + 1)`, at most
        1: each action is tried at random `epsilon_scale * ln(rounds)` times.
      epsilon_end: of epsilon_greedy: what exploration does not fall below.
      temperature: of boltzmann, in units of reward; of a log whose rewards are not learned as probabilities, in twice
        their deviation, as are `alpha` and one over the gammas.
      num_members: of ensemble: reward models.
      alpha: of linucb and lints: what the deviations of the predicted rewards are multiplied with.
      learn_every: decisions between two learning phases, made together from the same weights.
      eager_rounds: decisions at the start that are learned from one by one.
      eager_updates: gradient steps after each of these.
      updates: gradient steps in a learning phase after `learn_every` decisions.
      batch_size: decisions in a gradient step, drawn from all that were seen.
      replay_capacity: decisions kept, the latest; 0 keeps all.
      fc_layer_params: units of the hidden layers.
      loss: squared; or log, for rewards of 0 to 1; auto is log where the bandit promises such rewards,
        or where both 0 and 1 occur in a log, and nothing beyond.
      squash: give the network `sign(x) log(1 + |x|)` of every feature, which tames heavy tails.
      learning_rate: of Adam at the beginning; it falls linearly to `learning_rate_end` times that.
      learning_rate_end: share of it that is left at the end.
      weight_decay: share of each weight that Adam takes away, times the learning rate.
      reports: lines of metrics in a run.
    """

    horizon: int = 0
    exploration: Literal[
        "auto", "fastcb", "squarecb", "falcon", "epsilon_greedy", "boltzmann", "greedy", "ensemble", "linucb", "lints"
    ] = "auto"
    gamma_scale: float = 8.0
    exploitation: float = 300.0
    epsilon_scale: float = 1.0
    epsilon_end: float = 0.0
    temperature: float = 0.05
    num_members: int = 10
    alpha: float = 0.25
    learn_every: int = 16
    eager_rounds: int = 64
    eager_updates: int = 4
    updates: int = 8
    batch_size: int = 32
    replay_capacity: int = 0
    fc_layer_params: tuple[int, ...] = (128,)
    loss: Literal["auto", "squared", "log"] = "auto"
    squash: bool = True
    learning_rate: float = 4e-3
    learning_rate_end: float = 0.1
    weight_decay: float = 0.0
    reports: int = 40

    def __post_init__(self):
        check_kinds(self)
        for name in ("learn_every", "eager_updates", "updates", "batch_size", "num_members", "reports"):
            check_range(name, getattr(self, name), 1, math.inf, integer=True)
        for name in ("horizon", "eager_rounds", "replay_capacity"):
            check_range(name, getattr(self, name), 0, math.inf, integer=True)
        for name in ("epsilon_end", "learning_rate_end"):
            check_range(name, getattr(self, name), 0.0, 1.0)
        for name in ("epsilon_scale", "gamma_scale", "exploitation", "alpha", "weight_decay"):
            check_range(name, getattr(self, name), 0.0, math.inf)
        for name in ("learning_rate", "temperature"):
            check_range(name, getattr(self, name), 0.0, math.inf, low_open=True)
        if self.replay_capacity and self.replay_capacity < max(self.learn_every, self.eager_rounds):
            raise ConfigError(
                "replay_capacity does not hold what is learned from",
                expected=f"{max(self.learn_every, self.eager_rounds)} at least, or 0",
                got=str(self.replay_capacity),
            )

    def make_agent(
        self, time_step_spec: Any, action_spec: Any, seed: int = 0, rounds: int = 10_000, reward_scale: float = 1.0
    ) -> Any:
        """Returns the agent that these options describe.

        Args:
          time_step_spec, action_spec: of the bandit.
          seed: of the weights.
          rounds: of the run, over which the learning rate falls.
          reward_scale: above 0, what a reward of usual size is: exploration is as eager as it would be if that were 1.
        """
        if self.exploration in _LINEAR:
            return _LINEAR[self.exploration](
                time_step_spec,
                action_spec,
                alpha=self.alpha * reward_scale,
                add_bias=True,
                emit_policy_info=("log_probability",),
                enable_summaries=False,
                on_nan="skip",
            )
        is_log = self._is_log(time_step_spec.reward)
        observation_spec = time_step_spec.observation
        network = networks.QNetwork(
            observation_spec,
            action_spec,
            preprocessing_layers=specs.map_structure(lambda _: networks.signed_log, observation_spec)
            if self.squash
            else None,
            preprocessing_combiner=networks.concatenate if len(specs.flatten(observation_spec)) > 1 else None,
            fc_layer_params=tuple(self.fc_layer_params),
            q_layer_activation_fn=jax.nn.sigmoid if is_log else None,
            rngs=seed,
        )
        common: dict[str, Any] = {
            "optimizer": optax.adamw(self._rate(rounds), weight_decay=self.weight_decay),
            "error_loss_fn": element_wise_log_loss if is_log else element_wise_squared_loss,
            "emit_policy_info": ("log_probability",),
            "enable_summaries": False,
            "on_nan": "skip",
        }
        if self.exploration == "ensemble":
            return EnsembleThompsonSamplingAgent(
                time_step_spec, action_spec, network, num_members=self.num_members, **common
            )
        explorer = self._explorer(int(specs.num_values(action_spec)), is_log, reward_scale)
        return GreedyRewardPredictionAgent(time_step_spec, action_spec, network, explorer=explorer, **common)

    def make_loop(self, agent: Any, environment: BanditEnvironment, capacity: int) -> BanditLoop:
        """Returns how the agent meets its decisions, of which the latest `capacity` are remembered."""
        is_linear = self.exploration in _LINEAR
        return BanditLoop(
            agent,
            environment,
            1 if is_linear else capacity,
            self.batch_size,
            replays=not is_linear,
            scales=not is_linear and self.exploration != "ensemble",
        )

    def gradient_steps(self, rounds: Any) -> Any:
        """Returns how many gradient steps are taken in the first `rounds` rounds, integers of any shape.

        >>> BanditConfig(eager_rounds=10, eager_updates=2, learn_every=4, updates=8).gradient_steps(np.array([10, 14]))
        array([20, 28])
        """
        eager = np.minimum(rounds, self.eager_rounds)
        return self.eager_updates * eager + self.updates * (rounds - eager) // self.learn_every

    def _is_log(self, reward: specs.TensorSpec) -> bool:
        promised = isinstance(reward, specs.BoundedTensorSpec) and reward.minimum == 0.0 and reward.maximum == 1.0
        return self.loss == "log" or (self.loss == "auto" and promised)

    def _rate(self, rounds: int) -> Any:
        end = self.learning_rate * self.learning_rate_end
        return optax.linear_schedule(self.learning_rate, end, max(int(self.gradient_steps(rounds)), 1))

    def _explorer(self, actions: int, is_log: bool, reward_scale: float) -> Any:
        if self.exploration == "greedy":
            return None
        if self.exploration == "boltzmann":
            return lambda policy: BoltzmannPolicy(policy, self.temperature * reward_scale)
        gamma = self.gamma_scale * math.sqrt(actions) / reward_scale
        if self.exploration == "fastcb" or (self.exploration == "auto" and is_log):
            return lambda policy: FastCBPolicy(policy, lambda step: _USUAL_LOSS * gamma * jnp.sqrt(_rounds(step)))
        if self.exploration in ("auto", "squarecb"):
            return lambda policy: SquareCBPolicy(policy, lambda step: gamma * jnp.sqrt(_rounds(step)))
        if self.exploration == "falcon":
            return lambda policy: FalconPolicy(policy, self.exploitation / reward_scale)
        scale, end = self.epsilon_scale * actions, self.epsilon_end
        return lambda policy: EpsilonGreedyPolicy(policy, lambda step: jnp.minimum(1.0, end + scale / _rounds(step)))


_LINEAR = {"linucb": LinearUCBAgent, "lints": LinearThompsonSamplingAgent}


_USUAL_LOSS = 0.25
"""What the best action loses where FastCB explores as SquareCB does."""


def _rounds(step: Any) -> jax.Array:
    """Returns the round counted from 1."""
    return jnp.asarray(step, jnp.float32) + 1.0
