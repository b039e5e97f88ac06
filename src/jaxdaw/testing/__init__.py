"""Conformance suites for agents, policies and replays, and probe environments whose values are known.

Each suite is a tuple of checks: functions of one argument that return None, or raise an AssertionError or a
JaxdawError that says what is wrong. With pytest:

```python
@pytest.mark.parametrize("check", testing.AGENT_CHECKS, ids=lambda check: check.__name__)
def test_my_agent(check):
    check(lambda: MyAgent(...))
```

Environments have `jaxdaw.environments.check_environment`, which lists all faults at once.
"""

from jaxdaw.testing._agents import AGENT_CHECKS, random_experience
from jaxdaw.testing._policies import POLICY_CHECKS
from jaxdaw.testing._probes import (
    CONTINUOUS_PROBES,
    PROBES,
    ChosenReward,
    ConstantReward,
    ContinuousProbe,
    CutEpisode,
    CutSteering,
    DelayedReward,
    MatchedReward,
    ObservedReward,
    Probe,
    SteeredReward,
)
from jaxdaw.testing._replays import REPLAY_CHECKS, HoldsState, StatefulReplay

__all__ = [
    "AGENT_CHECKS",
    "CONTINUOUS_PROBES",
    "POLICY_CHECKS",
    "PROBES",
    "REPLAY_CHECKS",
    "ChosenReward",
    "ConstantReward",
    "ContinuousProbe",
    "CutEpisode",
    "CutSteering",
    "DelayedReward",
    "HoldsState",
    "MatchedReward",
    "ObservedReward",
    "Probe",
    "StatefulReplay",
    "SteeredReward",
    "random_experience",
]
