"""Options of soft actor-critic, as a frozen dataclass."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import optax

from jaxdaw import networks, specs
from jaxdaw.agents import DiscreteSacAgent, SacAgent, check_bounded_floats, check_range
from jaxdaw.errors import ConfigError
from jaxdaw.math import element_wise_huber_loss, element_wise_squared_loss
from jaxdaw.training._trainer import LoopOptions
from jaxdaw.training.algorithms._dqn import encoder_options, mask_splitter
from jaxdaw.training.algorithms._td3 import make_critic


@dataclasses.dataclass(frozen=True)
class SacConfig:
    """What `jaxdaw train sac` can be told. The defaults solve Pendulum-v1.

    One integer action makes a `DiscreteSacAgent`, floats a `SacAgent`.

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
      alpha_learning_rate: of the temperature's Adam.
      gradient_clipping: each variable's gradient is scaled to at most this norm; 0 for none.
      batch_size: windows in one gradient step.
      replay_capacity: frames kept.
      replay: how windows are drawn: uniform; prioritized by their temporal-difference errors (Schaul et al. 2016); or
        host, uniform from memory outside of the device, for images.
      frame_stack: images that the environment stacks along the last axis, which `replay host` stores once; 0 for none.
      priority_exponent: of the errors, with `replay prioritized`; 0 draws uniformly.
      importance_exponent: how far weights correct the prioritized draw at first; it grows linearly to 1 over the run.
      learning_starts: environment steps before the first gradient step; their actions are uniformly random.
      train_every: steps in each environment before each learning phase.
      updates: gradient steps in a learning phase; 0 is one for each environment step.
      gamma: discount of future rewards.
      target_update_tau: share of the online weights at a target update.
      target_update_period: gradient steps between target updates.
      temperature: what the entropy is weighted by, fixed; 0 learns it.
      initial_temperature: where it starts, if it is learned.
      target_entropy: in nats, what the learned temperature steers the entropy to; auto is minus the number of action
        elements, and of integers half the logarithm of how many are allowed.
      reward_scale_factor: multiplies the rewards; the higher, the less the entropy counts.
      td_errors_loss: huber or squared.
      mask_key: key of the action mask in dictionary observations, for an integer action; empty for none.
      max_episode_steps: time limit put on the environment; 0 keeps its own.
      eval_every: environment steps between two evaluations; 0 never evaluates.
      eval_episodes: greedy episodes in an evaluation.
      report_every: environment steps between two lines of metrics.
      checkpoint_every: environment steps between two checkpoints; 0 only at the end.
      debug_summaries: write TD errors, values, entropies and the temperature to TensorBoard.
      summarize_grads_and_vars: write gradients and variables to TensorBoard.
      summary_interval: gradient steps between two summaries.
    """

    steps: int = 20_000
    num_envs: int = 1
    network: Literal["mlp", "rnn"] = "mlp"
    fc_layer_params: tuple[int, ...] = (64, 64)
    conv_layer_params: tuple[tuple[int, int, int], ...] = ()
    lstm_size: int = 40
    sequence_length: int = 16
    actor_learning_rate: float = 1e-3
    critic_learning_rate: float = 1e-3
    alpha_learning_rate: float = 1e-3
    gradient_clipping: float = 0.0
    batch_size: int = 128
    replay_capacity: int = 200_000
    replay: Literal["uniform", "prioritized", "host"] = "uniform"
    frame_stack: int = 0
    priority_exponent: float = 0.6
    importance_exponent: float = 0.4
    learning_starts: int = 500
    train_every: int = 8
    updates: int = 0
    gamma: float = 0.99
    target_update_tau: float = 0.005
    target_update_period: int = 1
    temperature: float = 0.0
    initial_temperature: float = 1.0
    target_entropy: float | Literal["auto"] = "auto"
    reward_scale_factor: float = 1.0
    td_errors_loss: Literal["huber", "squared"] = "squared"
    mask_key: str = ""
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
        for name in ("eval_every", "checkpoint_every", "max_episode_steps", "updates", "frame_stack"):
            check_range(name, getattr(self, name), 0, math.inf, integer=True)
        for name in ("actor_learning_rate", "critic_learning_rate", "alpha_learning_rate"):
            check_range(name, getattr(self, name), 0.0, math.inf, low_open=True)
        check_range("initial_temperature", self.initial_temperature, 0.0, 1e30, low_open=True)
        check_range("temperature", self.temperature, 0.0, 1e30)
        check_range("gradient_clipping", self.gradient_clipping, 0.0, math.inf)
        if self.target_entropy != "auto":
            check_range("target_entropy", self.target_entropy, -math.inf, math.inf, low_open=True)

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
            replay=self.replay,
            frame_stack=self.frame_stack,
            priority_exponent=self.priority_exponent,
            importance_exponent=self.importance_exponent,
            importance_steps=self.steps,
        )

    def splitter(self) -> Callable[[Any], tuple[Any, Any]] | None:
        """Returns the splitter that takes the mask out of dictionary observations, or None."""
        return mask_splitter(self.mask_key) if self.mask_key else None

    def make_agent(self, time_step_spec: Any, action_spec: Any, seed: int = 0) -> SacAgent:
        """Returns the agent that these options describe, with weights drawn from `seed`."""
        leaves = specs.flatten(action_spec)
        is_discrete = len(leaves) == 1 and specs.is_discrete(leaves[0])
        options: dict[str, Any] = {
            "target_update_tau": self.target_update_tau,
            "target_update_period": self.target_update_period,
            "td_errors_loss_fn": _LOSSES[self.td_errors_loss],
            "gamma": self.gamma,
            "reward_scale_factor": self.reward_scale_factor,
            "initial_log_alpha": math.log(self.temperature or self.initial_temperature),
            "target_entropy": None if self.target_entropy == "auto" else self.target_entropy,
            "gradient_clipping": self.gradient_clipping or None,
            "debug_summaries": self.debug_summaries,
            "summarize_grads_and_vars": self.summarize_grads_and_vars,
            "summary_interval": self.summary_interval,
        }
        optimizers = (
            optax.adam(self.actor_learning_rate),
            optax.adam(self.critic_learning_rate),
            None if self.temperature else optax.adam(self.alpha_learning_rate),
        )
        observation_spec = time_step_spec.observation
        if not is_discrete:
            check_bounded_floats(action_spec, "SacAgent")  # before a network refuses it in words of its own
            if self.mask_key:
                raise ConfigError(
                    "mask_key names a mask of integers, and these actions are floats",
                    expected="no mask_key",
                    got=self.mask_key,
                )
            critic = make_critic(self, observation_spec, action_spec, seed + 1)
            actor = self._make_actor(observation_spec, action_spec, seed)
            return SacAgent(time_step_spec, action_spec, critic, actor, *optimizers, **options)
        options["target_entropy_ratio"] = 0.5  # with the paper's 0.98 the policy stays nearly uniform
        splitter = self.splitter()
        if splitter is not None:
            observation_spec = splitter(observation_spec)[0]
        critic = self._make_values(observation_spec, action_spec, seed + 1)
        actor = self._make_actor(observation_spec, action_spec, seed)
        return DiscreteSacAgent(time_step_spec, action_spec, critic, actor, *optimizers, splitter, **options)

    def _make_actor(self, observation_spec: Any, action_spec: Any, seed: int) -> networks.Network:
        layers, encoder = tuple(self.fc_layer_params), encoder_options(observation_spec, self.conv_layer_params)
        squashed = functools.partial(networks.TanhNormalProjection, std_transform=networks.std_clip_transform)
        if self.network == "rnn":
            return networks.ActorDistributionRnnNetwork(
                observation_spec,
                action_spec,
                input_fc_layer_params=layers,
                lstm_size=(self.lstm_size,),
                output_fc_layer_params=None,
                continuous_projection_net=squashed,
                rngs=seed,
                **encoder,
            )
        return networks.ActorDistributionNetwork(
            observation_spec,
            action_spec,
            fc_layer_params=layers,
            continuous_projection_net=squashed,
            rngs=seed,
            **encoder,
        )

    def _make_values(self, observation_spec: Any, action_spec: Any, seed: int) -> networks.Network:
        """Returns the critic of an integer action: a value for each."""
        layers, encoder = tuple(self.fc_layer_params), encoder_options(observation_spec, self.conv_layer_params)
        if self.network == "rnn":
            return networks.QRnnNetwork(
                observation_spec,
                action_spec,
                input_fc_layer_params=layers,
                lstm_size=(self.lstm_size,),
                output_fc_layer_params=None,
                rngs=seed,
                **encoder,
            )
        return networks.QNetwork(observation_spec, action_spec, fc_layer_params=layers, rngs=seed, **encoder)


_LOSSES = {"huber": element_wise_huber_loss, "squared": element_wise_squared_loss}
