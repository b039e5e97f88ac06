"""ALGORITHMS: one row an algorithm. `train`, `resume`, the command line, the documentation and the tests read it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from jaxdaw.data import Decisions
from jaxdaw.training._bandit_job import BanditSource
from jaxdaw.training._demonstrations_job import DemonstrationsSource
from jaxdaw.training._environment_job import EnvironmentSource
from jaxdaw.training._job import JobSource
from jaxdaw.training._log_job import LogSource
from jaxdaw.training.algorithms._bandit import BanditConfig
from jaxdaw.training.algorithms._bc import BcConfig
from jaxdaw.training.algorithms._ddpg import DdpgConfig
from jaxdaw.training.algorithms._dqn import C51Config, DqnConfig, QrDqnConfig, RainbowConfig
from jaxdaw.training.algorithms._ppo import A2cConfig, PpoConfig
from jaxdaw.training.algorithms._reinforce import ReinforceConfig
from jaxdaw.training.algorithms._sac import SacConfig
from jaxdaw.training.algorithms._td3 import Td3Config

LearnsFrom = Literal["environment", "demonstrations", "bandit"]


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """A row of the table.

    Attributes:
      summary: one line, for the command line and the documentation.
      config: a frozen dataclass of options, whose `make_agent` returns the agent.
      learns_from: what it is given: an environment, demonstrations, or a bandit (in its place a log of decisions).
      total: the option that says how long a run is.
      resumable: options that may change when a run is resumed. All others shape what was learned so far.
      depends: options that have an effect only beside certain values of another:
        `{"lstm_size": ("network", ("rnn",))}`.
    """

    summary: str
    config: type
    learns_from: LearnsFrom
    total: str
    resumable: tuple[str, ...] = ()
    depends: Mapping[str, tuple[str, tuple[Any, ...]]] = dataclasses.field(default_factory=dict)

    def source_of(self, what: Any, is_log: bool = False) -> type[JobSource]:
        """Returns the class of what is learned from: of a bandit's algorithm, decisions and files of logs are a log."""
        if self.learns_from == "bandit":
            is_log |= isinstance(what, Decisions) or (isinstance(what, str | Path) and Path(what).suffix in _LOGS)
            return LogSource if is_log else BanditSource
        return EnvironmentSource if self.learns_from == "environment" else DemonstrationsSource


class _AboveZero(tuple[Any, ...]):
    """All numbers above 0, as the values of an option beside which another has an effect."""

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and value > 0


_ABOVE_0 = _AboveZero(("above 0",))
_LOGS = (".jsonl", ".dsjson", ".parquet")
"""Endings of the files that are logs. A .csv is a table: its log is read by `read_decisions`."""

_OF_NETWORKS = {"lstm_size": ("network", ("rnn",)), "sequence_length": ("network", ("rnn",))}
_OF_REPLAYS = {
    **_OF_NETWORKS,
    "priority_exponent": ("replay", ("prioritized",)),
    "importance_exponent": ("replay", ("prioritized",)),
    "frame_stack": ("replay", ("host",)),
}

_OF_DQN = {
    **_OF_REPLAYS,
    "num_atoms": ("distribution", ("categorical",)),
    "min_q_value": ("distribution", ("categorical",)),
    "max_q_value": ("distribution", ("categorical",)),
    "num_quantiles": ("distribution", ("quantile",)),
    "td_errors_loss": ("distribution", ("none",)),
    "epsilon_start": ("boltzmann_temperature", (0.0,)),
    "epsilon_end": ("boltzmann_temperature", (0.0,)),
    "epsilon_steps": ("boltzmann_temperature", (0.0,)),
}

_OF_PPO = {
    "lstm_size": ("network", ("rnn",)),
    "importance_ratio_clipping_end": ("importance_ratio_clipping", _ABOVE_0),
    "adaptive_kl_target": ("initial_adaptive_kl_beta", _ABOVE_0),
}


def _in_an_environment(summary: str, config: type, depends: dict[str, tuple[str, tuple[Any, ...]]]) -> Algorithm:
    """Returns the row of an algorithm that learns in an environment."""
    resumable = ("steps", "eval_every", "eval_episodes", "report_every", "checkpoint_every")
    return Algorithm(summary, config, learns_from="environment", total="steps", resumable=resumable, depends=depends)


ALGORITHMS: dict[str, Algorithm] = {
    "dqn": _in_an_environment(
        "Learn discrete actions by reward: DQN, double and duelling, with uniform or prioritized replay.",
        DqnConfig,
        _OF_DQN,
    ),
    "c51": _in_an_environment(
        "DQN that learns the distribution of the return over fixed atoms: categorical DQN.",
        C51Config,
        _OF_DQN,
    ),
    "qrdqn": _in_an_environment(
        "DQN that learns quantiles of the return: quantile regression DQN.",
        QrDqnConfig,
        _OF_DQN,
    ),
    "rainbow": _in_an_environment(
        "C51, double and duelling, with prioritized replay, n-step returns and noisy layers: Rainbow.",
        RainbowConfig,
        _OF_DQN,
    ),
    "reinforce": _in_an_environment(
        "Learn any actions by the returns of whole episodes: REINFORCE, with a baseline.",
        ReinforceConfig,
        {"lstm_size": ("network", ("rnn",)), "value_estimation_loss_coef": ("baseline", (True,))},
    ),
    "ppo": _in_an_environment(
        "Learn any actions by reward, in several passes over each rollout: PPO, clipped or with a KL penalty.",
        PpoConfig,
        _OF_PPO,
    ),
    "a2c": _in_an_environment(
        "Learn any actions by reward, in one pass over each rollout: advantage actor-critic.",
        A2cConfig,
        _OF_PPO,
    ),
    "sac": _in_an_environment(
        "Learn continuous or discrete actions by reward and entropy: soft actor-critic.",
        SacConfig,
        {
            **_OF_REPLAYS,
            "initial_temperature": ("temperature", (0.0,)),
            "target_entropy": ("temperature", (0.0,)),
            "alpha_learning_rate": ("temperature", (0.0,)),
        },
    ),
    "td3": _in_an_environment(
        "Learn continuous actions by reward: TD3, a deterministic actor and two critics.",
        Td3Config,
        _OF_REPLAYS,
    ),
    "ddpg": _in_an_environment(
        "Learn continuous actions by reward: DDPG, a deterministic actor and one critic.",
        DdpgConfig,
        _OF_REPLAYS,
    ),
    "bc": Algorithm(
        summary="Clone a policy from demonstrations: of any actions, from single steps or from sequences.",
        config=BcConfig,
        learns_from="demonstrations",
        total="epochs",
        resumable=("epochs", "patience", "eval_every", "eval_episodes", "checkpoint_every"),
        depends=_OF_NETWORKS,
    ),
    "bandit": Algorithm(
        summary="Learn a contextual bandit online, or from a log of decisions alone.",
        config=BanditConfig,
        learns_from="bandit",
        total="horizon",
        depends={
            "gamma_scale": ("exploration", ("auto", "squarecb", "fastcb")),
            "exploitation": ("exploration", ("falcon",)),
            "epsilon_scale": ("exploration", ("epsilon_greedy",)),
            "epsilon_end": ("exploration", ("epsilon_greedy",)),
            "temperature": ("exploration", ("boltzmann",)),
            "num_members": ("exploration", ("ensemble",)),
            "alpha": ("exploration", ("linucb", "lints")),
        },
    ),
}
"""Algorithms by name."""
