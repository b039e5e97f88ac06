"""RewardPrediction and RewardBelief: outputs of reward networks that tell noise or uncertainty."""

from __future__ import annotations

from typing import Any, NamedTuple


class RewardPrediction(NamedTuple):
    """A reward network's output with a measure of the noise; without one, a network returns the means alone.

    Attributes:
      mean: `[B, A]`, the expected reward of every action.
      log_variance: `[B, A]`, the logarithm of the reward's variance.
    """

    mean: Any
    log_variance: Any


class RewardBelief(NamedTuple):
    """A reward network's output with how sure it is of the mean, which more examples make it.

    Attributes:
      mean: `[B, A]`, the expected reward of every action.
      deviation: `[B, A]`, the deviation of what is believed of that mean.
    """

    mean: Any
    deviation: Any


def mean_of(output: Any) -> Any:
    """Returns the expected rewards in a reward network's output, or in its spec."""
    return output.mean if isinstance(output, RewardPrediction | RewardBelief) else output
