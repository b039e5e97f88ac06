"""Options of soft actor-critic, as a frozen dataclass."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, ClassVar, Literal

import optax

from jaxdaw import networks, specs
from jaxdaw.agents import DiscreteSacAgent, SacAgent, check_bounded_floats, check_range
from jaxdaw.errors import ConfigError
from jaxdaw.policies import split_observation
from jaxdaw.training.algorithms._environment_config import ReplayConfig, mask_splitter
from jaxdaw.training.algorithms._td3 import make_critic


@dataclasses.dataclass(frozen=True)
class SacConfig(ReplayConfig):
    """What `jaxdaw train sac` can be told. The defaults solve Pendulum-v1.

    One integer action makes a `DiscreteSacAgent`, floats a `SacAgent`.

    Attributes:
      learning_starts: environment steps before the first gradient step; their actions are uniformly random.
      reward_scale_factor: multiplies the rewards; the higher, the less the entropy counts.
      actor_learning_rate: of the actor's Adam.
      critic_learning_rate: of the critics' Adam.
      alpha_learning_rate: of the temperature's Adam.
      temperature: what the entropy is weighted by, fixed; 0 learns it.
      initial_temperature: where it starts, if it is learned.
      target_entropy: in nats, what the learned temperature steers the entropy to; auto is minus the number of action
        elements, and of integers half the logarithm of how many are allowed.
      mask_key: key of the action mask in dictionary observations, for an integer action; empty for none.
    """

    random_starts: ClassVar[bool] = True

    steps: int = 20_000
    num_envs: int = 1
    learning_starts: int = 500
    eval_every: int = 2_000
    eval_episodes: int = 10
    report_every: int = 1_000
    checkpoint_every: int = 10_000
    actor_learning_rate: float = 1e-3
    critic_learning_rate: float = 1e-3
    alpha_learning_rate: float = 1e-3
    temperature: float = 0.0
    initial_temperature: float = 1.0
    target_entropy: float | Literal["auto"] = "auto"
    mask_key: str = ""

    def __post_init__(self):
        super().__post_init__()
        rates = ("actor_learning_rate", "critic_learning_rate", "alpha_learning_rate")
        self.check_numbers(math.inf, *rates, above_0=True)
        self.check_numbers(1e30, "initial_temperature", above_0=True)
        self.check_numbers(1e30, "temperature")
        if self.target_entropy != "auto":
            check_range("target_entropy", self.target_entropy, -math.inf, math.inf, low_open=True)

    def make_agent(self, time_step_spec: Any, action_spec: Any, seed: int = 0) -> SacAgent:
        """Returns the agent that these options describe, with weights drawn from `seed`."""
        leaves = specs.flatten(action_spec)
        is_discrete = len(leaves) == 1 and specs.is_discrete(leaves[0])
        if not is_discrete:
            check_bounded_floats(action_spec, "SacAgent")  # before a network refuses it in words of its own
            if self.mask_key:
                raise ConfigError(
                    "mask_key names a mask of integers, and these actions are floats",
                    expected="no mask_key",
                    got=self.mask_key,
                )
        splitter = mask_splitter(self.mask_key)
        observation_spec = split_observation(splitter, time_step_spec.observation)[0]
        if is_discrete:
            critic: networks.Network = self._make_values(observation_spec, action_spec, seed + 1)
        else:
            critic = make_critic(self, observation_spec, action_spec, seed + 1)
        given = (
            time_step_spec,
            action_spec,
            critic,
            self._make_actor(observation_spec, action_spec, seed),
            optax.adam(self.actor_learning_rate),
            optax.adam(self.critic_learning_rate),
            None if self.temperature else optax.adam(self.alpha_learning_rate),
        )
        options: dict[str, Any] = {
            "td_errors_loss_fn": self.td_errors_loss_fn(),
            "initial_log_alpha": math.log(self.temperature or self.initial_temperature),
            "target_entropy": None if self.target_entropy == "auto" else self.target_entropy,
            **self.bootstrap_options(),
        }
        if not is_discrete:
            return SacAgent(*given, **options)
        # with the paper's ratio of 0.98 the policy stays nearly uniform
        return DiscreteSacAgent(*given, splitter, target_entropy_ratio=0.5, **options)

    def _make_actor(self, observation_spec: Any, action_spec: Any, seed: int) -> networks.Network:
        squashed = functools.partial(networks.TanhNormalProjection, std_transform=networks.std_clip_transform)
        kind = networks.ActorDistributionRnnNetwork if self.network == "rnn" else networks.ActorDistributionNetwork
        layers = self.layer_options(observation_spec)
        return kind(observation_spec, action_spec, continuous_projection_net=squashed, rngs=seed, **layers)

    def _make_values(self, observation_spec: Any, action_spec: Any, seed: int) -> networks.Network:
        """Returns the critic of an integer action: a value for each."""
        kind = networks.QRnnNetwork if self.network == "rnn" else networks.QNetwork
        return kind(observation_spec, action_spec, rngs=seed, **self.layer_options(observation_spec))
