"""Options of DDPG, as a frozen dataclass."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

from jaxdaw.agents import DdpgAgent
from jaxdaw.training.algorithms._td3 import DeterministicPolicyGradientConfig


@dataclasses.dataclass(frozen=True)
class DdpgConfig(DeterministicPolicyGradientConfig):
    """What `jaxdaw train ddpg` can be told. The defaults solve Pendulum-v1.

    Attributes:
      exploration_noise: deviation of what is added to the noise around the actions at each step, in units of half the
        width of their bounds.
      ou_damping: how fast the noise decays (Ornstein-Uhlenbeck); 1 forgets it at each step, 0 is a random walk.
      dqda_clipping: each element of the critic's gradient by the action is clipped to this size; 0 for none.
    """

    agent_name: ClassVar[str] = "DDPG"

    ou_damping: float = 1.0
    dqda_clipping: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        self.check_numbers(1.0, "ou_damping")
        self.check_numbers(math.inf, "dqda_clipping")

    def make_agent(self, time_step_spec: Any, action_spec: Any, seed: int = 0) -> DdpgAgent:
        """Returns the agent that these options describe, with weights drawn from `seed`."""
        return DdpgAgent(
            **self.agent_arguments(time_step_spec, action_spec, seed),
            ou_stddev=self.exploration_noise,
            ou_damping=self.ou_damping,
            dqda_clipping=self.dqda_clipping or None,
        )
