"""NoisyNetworkPolicy: acts by a wrapped policy whose network has fresh noise in its weights."""

from __future__ import annotations

from typing import Any

import jax

from jaxdaw.errors import ConfigError
from jaxdaw.networks import is_noisy, with_noise
from jaxdaw.policies._base import Policy
from jaxdaw.policies._exploration import BoltzmannPolicy, EpsilonGreedyPolicy
from jaxdaw.policies._q import QPolicy
from jaxdaw.policies._wrapped import WrappedPolicy
from jaxdaw.trajectories import PolicyStep, TimeStep


class NoisyNetworkPolicy(WrappedPolicy):
    """Acts by a wrapped policy with fresh noise in the weights of its noisy layers, for every row and at every step.

    `distribution` shows the wrapped policy's distribution at the means of the weights. That over the noise has no
    closed form, so log-probabilities cannot be emitted.

    Args:
      policy: a QPolicy, EpsilonGreedyPolicy or BoltzmannPolicy whose network has noisy layers.
      name: defaults to the class name.

    Raises:
      ConfigError: another policy, a network without noisy layers, or one that emits log-probabilities.

    Source: Fortunato et al. 2018.
    """

    def __init__(self, policy: Policy, name: str | None = None):
        if not isinstance(policy, QPolicy | EpsilonGreedyPolicy | BoltzmannPolicy) or not is_noisy(
            policy.get_weights()
        ):
            raise ConfigError(
                "NoisyNetworkPolicy needs a policy by a network with noisy layers",
                expected="QPolicy(..., QNetwork(..., noisy=True)), or one that explores around it",
                got=type(policy).__name__,
            )
        if policy.emit_log_probability:
            raise ConfigError(
                "the probability of an action has no closed form under noise in the weights",
                expected="emit_log_probability=False",
                got="True",
                fix="a network with noisy=False",
            )
        super().__init__(policy, clip=False, emit_log_probability=False, name=name)

    def weights_at(self, inner: Any, step: Any) -> Any:
        """Returns the wrapped policy's weights as they are after `step` environment steps; pure."""
        return self._wrapped.weights_at(inner, step)

    def weights_now(self, inner: Any) -> Any:
        """Returns the wrapped policy's weights with today's number."""
        return self._wrapped.weights_now(inner)

    def draw(self, key: jax.Array, num_steps: int, batch_size: int) -> Any:
        """Returns a key of the noise for each row, `[num_steps, B]`, and what the wrapped policy draws."""
        key_noise, key_action = jax.random.split(key)
        return jax.random.split(key_noise, (num_steps, batch_size)), self._wrapped.draw(
            key_action, num_steps, batch_size
        )

    def act(self, weights: Any, time_step: TimeStep, policy_state: Any, randomness: Any) -> PolicyStep:
        """Chooses an action for each row by weights with that row's noise; pure. Arguments as `Policy.act`."""

        def act_in_row(key: jax.Array, *row: Any) -> PolicyStep:
            step, state, draw = jax.tree.map(lambda x: x[None], row)
            chosen = self._wrapped.act(with_noise(weights, key), step, state, draw)
            return jax.tree.map(lambda x: x[0], chosen)

        keys, draws = randomness
        return jax.vmap(act_in_row)(keys, time_step, policy_state, draws)

    def _distribution(self, weights: Any, time_step: TimeStep, policy_state: Any) -> PolicyStep:
        return self._wrapped.distribute(weights, time_step, policy_state)
