"""TD3: DDPG with the lower of two critics, smoothed target actions, and an actor that steps less often."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdaw import specs
from jaxdaw.agents._checks import check_range
from jaxdaw.agents._deterministic_policy_gradient import DeterministicActorCriticAgent, ElementWiseLoss
from jaxdaw.agents._state import StepCounter
from jaxdaw.errors import ConfigError
from jaxdaw.networks import Network, require_network
from jaxdaw.policies import GaussianPolicy, half_width
from jaxdaw.trajectories import TimeStep


class Td3Info(NamedTuple):
    """The parts of TD3's loss, whose sum is the loss, and per-example values.

    Attributes:
      actor_loss: `[]`, minus the mean value of the actor's own actions, by the first critic after its step.
      critic_loss: `[]`, of both critics' temporal-difference errors.
      td_error: `[B]` or `[B, T-1]`, the mean over both critics of the distance from target to prediction, in units of
        return; 0 for boundary frames. It is the priority of the row.
    """

    actor_loss: Any
    critic_loss: Any
    td_error: Any = ()


class Td3Agent(DeterministicActorCriticAgent):
    """Learns continuous actions from recorded transitions, by the lower of two critics.

    With primes for target networks, each train step moves both critics towards

    ```text
    y = r + gamma d min_j Q'_j(s', clip(mu'(s') + clip(noise, -c, c)))
    ```

    and, every `actor_update_period` steps, the actor along the gradient of `Q_1(s, mu(s))`.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: a nest of float specs with finite bounds.
      actor_network: `network(observation, step_type, state) -> (actions, state)`, in the nest of the actions.
      critic_network: `network((observation, action), step_type, state) -> (values [B], state)`.
      actor_optimizer: an optax transformation, for the actor; None makes an agent that cannot train.
      critic_optimizer: an optax transformation, for both critics.
      exploration_noise_std: at least 0, the deviation of the normal noise around the actions while collecting.
      critic_network_2: the second critic; None is a copy of the first with weights of its own.
      target_actor_network: a network for the bootstrapped actions; None copies `actor_network`. As those of the
        critics, its weights are kept until `initialize`.
      target_critic_network, target_critic_network_2: networks for the bootstrap values; None copies the critics.
      target_update_tau: in `[0, 1]`, the share of the online weights at each target update; 1 copies them.
      target_update_period: train steps between target updates, of all three.
      actor_update_period: train steps between two steps of the actor; the first train step is one.
      td_errors_loss_fn: `(target, prediction) -> loss`, element-wise; None is Huber's with delta 1.
      gamma: in `[0, 1]`, the discount of future rewards.
      reward_scale_factor: multiplies the rewards.
      target_policy_noise: at least 0, the deviation of the normal noise on the bootstrapped actions.
      target_policy_noise_clip: at least 0, the most by which that noise moves an action.
      gradient_clipping: each variable's gradient is scaled to at most this norm; None for none.
      debug_summaries: whether to summarise TD errors, losses, values and actions.
      summarize_grads_and_vars: whether to summarise gradients and variables.
      train_step_counter: a StepCounter to share; None makes one of its own.
      name: defaults to the class name.
      scale_noise_to_bounds: whether the three numbers of both noises are in units of half the width of each action
        element's bounds, instead of the action's own.
      enable_summaries: False turns both kinds of summaries off.
      summary_interval: train steps between two summaries.
      on_nan: what `train` does about steps refused as not finite: "raise", "skip" or "ignore", see `Agent`.

    Raises:
      ValueError: actions that are not bounded floats, a network of another input or output, a number outside its
        range, a target network of another structure, or one for a second critic that is not given.

    Warns:
      UserWarning: a target network shares weights with the trained one (it is copied).

    Source: Fujimoto, van Hoof & Meger 2018. `docs/differences.md` lists where TF-Agents is not followed.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        actor_network: Network,
        critic_network: Network,
        actor_optimizer: optax.GradientTransformation | None,
        critic_optimizer: optax.GradientTransformation | None,
        exploration_noise_std: float = 0.1,
        critic_network_2: Network | None = None,
        target_actor_network: Network | None = None,
        target_critic_network: Network | None = None,
        target_critic_network_2: Network | None = None,
        target_update_tau: float = 1.0,
        target_update_period: int = 1,
        actor_update_period: int = 1,
        td_errors_loss_fn: ElementWiseLoss | None = None,
        gamma: float = 1.0,
        reward_scale_factor: float = 1.0,
        target_policy_noise: float = 0.2,
        target_policy_noise_clip: float = 0.5,
        gradient_clipping: float | None = None,
        debug_summaries: bool = False,
        summarize_grads_and_vars: bool = False,
        train_step_counter: StepCounter | None = None,
        name: str | None = None,
        *,
        scale_noise_to_bounds: bool = False,
        enable_summaries: bool = True,
        summary_interval: int = 100,
        on_nan: str = "raise",
    ):
        for label, number in (
            ("exploration_noise_std", exploration_noise_std),
            ("target_policy_noise", target_policy_noise),
            ("target_policy_noise_clip", target_policy_noise_clip),
        ):
            check_range(label, number, 0.0, math.inf)
        require_network("critic_network", critic_network)
        if critic_network_2 is None:
            if target_critic_network_2 is not None:
                raise ConfigError(
                    "target_critic_network_2 has no effect without critic_network_2",
                    expected="both, or neither",
                    got="critic_network_2=None",
                )
            critic_network_2 = critic_network.copy()
        elif {id(v) for v in critic_network.variables} & {id(v) for v in getattr(critic_network_2, "variables", ())}:
            raise ConfigError(
                "critic_network_2 shares weights with critic_network: there would be one critic",
                expected="weights of its own",
                got="the same variables",
                fix="critic_network_2=None, which copies critic_network with fresh weights",
            )
        self._noise, self._noise_clip = float(target_policy_noise), float(target_policy_noise_clip)
        self._scale_noise = scale_noise_to_bounds
        super().__init__(
            time_step_spec,
            action_spec,
            actor_network,
            {"critic_network": critic_network, "critic_network_2": critic_network_2},
            {
                "actor_network": target_actor_network,
                "critic_network": target_critic_network,
                "critic_network_2": target_critic_network_2,
            },
            actor_optimizer,
            critic_optimizer,
            explore=lambda policy: GaussianPolicy(policy, exploration_noise_std, scale_to_bounds=scale_noise_to_bounds),
            actor_update_period=actor_update_period,
            target_update_tau=target_update_tau,
            target_update_period=target_update_period,
            td_errors_loss_fn=td_errors_loss_fn,
            gamma=gamma,
            reward_scale_factor=reward_scale_factor,
            gradient_clipping=gradient_clipping,
            debug_summaries=debug_summaries,
            summarize_grads_and_vars=summarize_grads_and_vars,
            enable_summaries=enable_summaries,
            summary_interval=summary_interval,
            train_step_counter=train_step_counter,
            on_nan=on_nan,
            name=name,
        )

    def _target_action(self, action: Any, key: jax.Array) -> Any:
        """Returns the actions with clipped noise, within their bounds."""
        leaves = specs.flatten(action)
        keys = specs.pack_like(action, list(jax.random.split(key, len(leaves))))

        def smoothed(leaf: jax.Array, spec: Any, key: jax.Array) -> jax.Array:
            unit = half_width(spec) if self._scale_noise else 1.0
            noise = self._noise * self._standard_normal(key, leaf.shape)
            noise = unit * jnp.clip(noise, -self._noise_clip, self._noise_clip)
            return leaf + noise.astype(leaf.dtype)

        noisy = specs.map_structure(smoothed, action, self._action_spec, keys)
        return specs.clip_to_bounds(noisy, self._action_spec)

    def _standard_normal(self, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.normal(key, shape)

    def _loss_record(self, actor_loss: Any, critic_loss: Any, td_error: Any) -> Td3Info:
        """Returns the parts of the loss, and the errors."""
        return Td3Info(actor_loss=actor_loss, critic_loss=critic_loss, td_error=td_error)

    @property
    def target_critic_network_2(self) -> Network:
        """The network that gives the second critic's bootstrap values."""
        return self._targets["critic_network_2"]
