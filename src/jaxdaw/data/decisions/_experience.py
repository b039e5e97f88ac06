"""decision_experience: a log as the experience that bandit agents train on."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from jaxdaw import specs
from jaxdaw.data.decisions._check import check_decisions, is_rewarded
from jaxdaw.data.decisions._decisions import Decisions
from jaxdaw.errors import ConfigError
from jaxdaw.trajectories import StepType, Trajectory


class DecisionExperience(NamedTuple):
    """What `agent.train(experience, weights)` takes, all rows of a log.

    Attributes:
      experience: `[N, 1, ...]`, from FIRST to LAST: an episode of one decision each. `policy_info` is `()`.
      weights: `[N]` float32, with mean 1.
    """

    experience: Trajectory
    weights: np.ndarray


def decision_experience(
    decisions: Decisions, *, importance: Literal["none", "uniform"] = "none", clip: float = 10.0
) -> DecisionExperience:
    """Returns every logged decision as experience of a bandit agent, with weights.

    A reward model is consistent without weights. Weights bring it to arms and contexts that the log has little of, as
    if all arms had been chosen equally often: `1 / (eligible arms * p)`, clipped, and scaled to a mean of 1.

    Args:
      decisions: with rewards in 95 % of the rows at least, the others are left out; with probabilities if they weight.
      importance: `none` weights all rows alike; `uniform` is the above.
      clip: the largest weight before the scaling.

    Raises:
      SpecError: the log has faults, see `check_decisions`.
      ConfigError: an unknown `importance`, or a clip that is not above 0.

    >>> rows = decision_experience(Decisions([0, 1], [1.0, 0.0], [0.8, 0.2], np.zeros((2, 3))), importance="uniform")
    >>> rows.experience.observation.shape, rows.weights.tolist()  # 1/(2 * .8) = .625 and 2.5, over their mean
    ((2, 1, 3), [0.4000000059604645, 1.600000023841858])
    """
    if importance not in ("none", "uniform") or not clip > 0:
        expected, got = "'none' or 'uniform', a clip above 0", f"{importance!r}, {clip}"
        raise ConfigError("the weights of a log are not known", expected=expected, got=got)
    has_reward = is_rewarded(decisions)
    decisions = decisions if has_reward.all() else decisions.select(has_reward)
    check_decisions(decisions, needs_probability=importance != "none").raise_if_faulty("the logged decisions")
    count = len(decisions)
    weights = np.ones(count)
    if importance == "uniform":
        offered = decisions.num_arms if decisions.eligible is None else decisions.eligible.sum(axis=1)
        weights = np.minimum(1.0 / (offered * decisions.probability), clip)
        weights /= weights.mean()
    observation = decisions.context
    if specs.flatten(decisions.arm_features):
        observation = {"global": decisions.context, "per_arm": decisions.arm_features}
    experience = Trajectory(
        step_type=np.full((count, 1), StepType.FIRST, np.int32),
        observation=specs.map_structure(lambda leaf: leaf[:, None], observation),
        action=decisions.action[:, None].astype(np.int32),
        policy_info=(),
        next_step_type=np.full((count, 1), StepType.LAST, np.int32),
        reward=decisions.reward[:, None].astype(np.float32),
        discount=np.zeros((count, 1), np.float32),
    )
    return DecisionExperience(experience, weights.astype(np.float32))
