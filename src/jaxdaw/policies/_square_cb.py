"""SquareCB, FastCB and FALCON: exploration by inverse gap weighting."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.distributions import SquareCB
from jaxdaw.errors import ConfigError
from jaxdaw.policies._base import Policy
from jaxdaw.policies._exploration import Schedule, ScheduledPolicy
from jaxdaw.policies._info import BanditPolicyType


class SquareCBPolicy(ScheduledPolicy):
    """Takes an action the rarer the further its value lies below the best: see `distributions.SquareCB`.

    Args:
      policy: a policy over one integer action with values as logits: a GreedyRewardPredictionPolicy or a QPolicy.
      gamma: 0 or more, one over the units of the values; 0 is uniform, the larger, the greedier: a number, a function
        without arguments, or a schedule over environment steps.
      name: defaults to the class name.

    Raises:
      ConfigError: a number below 0.
    """

    _kind = BanditPolicyType.UNKNOWN

    def __init__(self, policy: Policy, gamma: Schedule, name: str | None = None):
        super().__init__(policy, gamma, "gamma in [0, inf)", lambda x: 0.0 <= x < np.inf, name)

    def _explore(self, choice: Any, number: Any) -> SquareCB:
        return SquareCB(choice.logits, choice.mask, choice.minimum, choice.dtype, number)


class FalconPolicy(SquareCBPolicy):
    """This is SquareCBPolicy with: `gamma = coefficient * sqrt(K * n / p)`, which grows as decisions are made.

    K is the number of actions allowed in the row, n the number of environment steps, and p that of the reward model's
    trainable numbers, which stands for how much there is to learn. As in TF-Agents' FalconRewardPredictionPolicy, the
    rate follows every step; in the paper it stays for an epoch, after which the model is fitted anew. `fit` and the
    drivers set the step; by hand, set `policy.step` to the number of decisions that the model has learned from.

    Args:
      policy: as for `SquareCBPolicy`.
      exploitation_coefficient: 0 or more: a number, a function without arguments, or a schedule over environment steps.
      name: defaults to the class name.

    Raises:
      ConfigError: a number below 0, or a policy without trainable weights.

    Source: Simchi-Levi & Xu 2020, algorithm 1.
    """

    _kind = BanditPolicyType.FALCON

    def __init__(self, policy: Policy, exploitation_coefficient: Schedule = 1.0, name: str | None = None):
        super().__init__(policy, exploitation_coefficient, name)
        sizes = [np.size(leaf) for n in policy._networks()[:1] for leaf in jax.tree.leaves(n.get_weights().params)]
        if not sizes:
            raise ConfigError(
                f"{self.name} needs a reward model", expected="trainable weights", got=f"{policy.name} without any"
            )
        self._num_parameters = sum(sizes)

    def weights_now(self, inner: Any) -> Any:
        """Returns the wrapped policy's weights with today's rate for one allowed action."""
        inner, coefficient = super().weights_now(inner)
        return inner, np.float32(coefficient * np.sqrt(self.step / self._num_parameters))

    def weights_at(self, inner: Any, step: Any) -> Any:
        """Returns the same as it is after `step` environment steps; pure. Errors as for `SquareCBPolicy`."""
        inner, coefficient = super().weights_at(inner, step)
        return inner, coefficient * jnp.sqrt(step / self._num_parameters)

    def _explore(self, choice: Any, number: Any) -> SquareCB:
        return super()._explore(choice, number * jnp.sqrt(jnp.sum(choice.allowed, axis=-1)))


class FastCBPolicy(SquareCBPolicy):
    """This is SquareCBPolicy with: gamma divided by what the best action is expected to lose.

    Values are probabilities of success, or rewards in `[0, 1]`, learned by log loss. An action that lies `gap` below
    the best one, whose value is `b`, is taken with probability `1 / (K + gamma * gap / (1 - b))`: where the best action
    hardly ever fails, there is little to find, and exploration ends early.

    Args:
      policy: as for `SquareCBPolicy`, with values in `[0, 1]`; above 1 they count as 1.
      gamma: as for `SquareCBPolicy`.
      name: defaults to the class name.

    Raises:
      ConfigError: a number below 0.

    Source: Foster & Krishnamurthy 2021, "Efficient first-order contextual bandits", algorithm 1.
    """

    def _explore(self, choice: Any, number: Any) -> SquareCB:
        values = jnp.where(choice.allowed, choice.logits, -jnp.inf)
        return super()._explore(choice, number / jnp.maximum(1.0 - jnp.max(values, axis=-1), _SURE))


_SURE = 1e-6
"""What even an action that is certain to succeed is expected to lose."""
