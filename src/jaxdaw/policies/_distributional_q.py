"""CategoricalQPolicy and QuantileQPolicy: action values as means of learned distributions of the return."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.errors import ConfigError, SpecError, SpecTypeError
from jaxdaw.networks import Network
from jaxdaw.policies._constraints import Splitter
from jaxdaw.policies._q import QPolicy
from jaxdaw.trajectories import TimeStep


class CategoricalQPolicy(QPolicy):
    """This is QPolicy with: values that are means over atoms, `sum_k z_k softmax(logits)_k`.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: one integer action.
      q_network: `network(observation, step_type, network_state) -> (logits [B, A, K], state)`.
      min_q_value, max_q_value: the returns that the first and the last atom stand for; the others are evenly between.
      observation_and_action_constraint_splitter: `observation -> (network_observation, mask)`, or None.
      temperature: above 0, in units of return: values are divided by it before the softmax that `action` samples from.
      emit_log_probability: whether `info` holds the log-probability of the emitted action.
      name: defaults to the class name.

    Raises:
      SpecError: the action is not one scalar integer from 0, or the network returns something else.
      SpecTypeError: the network returns one value for each action.
      ConfigError: `q_network` is not a Network, or a number is outside its range.

    Source: Bellemare, Dabney & Munos 2017.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        q_network: Network,
        min_q_value: float,
        max_q_value: float,
        observation_and_action_constraint_splitter: Splitter | None = None,
        temperature: float = 1.0,
        *,
        emit_log_probability: bool = False,
        name: str | None = None,
    ):
        super().__init__(
            time_step_spec, action_spec, q_network, emit_log_probability, observation_and_action_constraint_splitter,
            name=name,
        )  # fmt: skip
        if not 0.0 < temperature < math.inf:
            raise ConfigError("temperature is outside its range", expected="(0, inf)", got=repr(temperature))
        self.support = atoms(min_q_value, max_q_value, q_network.create_variables().shape[-1])
        self._temperature = temperature

    @staticmethod
    def check_network(network: Network, action_spec: Any) -> None:
        """Checks that a network returns logits of two or more atoms for each action; see `check_several_of`."""
        check_several_of(network, action_spec, 2, "CategoricalQNetwork")

    def values_of(self, output: Any) -> Any:
        """Returns the means `[..., A]` of logits `[..., A, K]`; pure."""
        values = mean_of_atoms(output, self.support)
        return values if self._temperature == 1.0 else values / self._temperature


class QuantileQPolicy(QPolicy):
    """This is QPolicy with: values that are means over quantiles. Arguments are those of `QPolicy`.

    Args:
      q_network: `network(observation, step_type, network_state) -> (quantiles [B, A, K], state)`.

    Source: Dabney et al. 2018.
    """

    @staticmethod
    def check_network(network: Network, action_spec: Any) -> None:
        """Checks that a network returns quantiles for each action; see `check_several_of`."""
        check_several_of(network, action_spec, 1, "QuantileQNetwork")

    def values_of(self, output: Any) -> Any:
        """Returns the means `[..., A]` of quantiles `[..., A, K]`; pure."""
        return jnp.mean(output, axis=-1)


def atoms(min_q_value: float, max_q_value: float, num_atoms: int) -> np.ndarray:
    """Returns the evenly spaced returns that atoms stand for, float32 `[K]`.

    Raises:
      ConfigError: not `min_q_value < max_q_value`, or not finite.
    """
    if not -math.inf < min_q_value < max_q_value < math.inf:
        raise ConfigError(
            "the atoms need a range of returns",
            expected="min_q_value < max_q_value",
            got=f"{min_q_value}, {max_q_value}",
        )
    return np.linspace(min_q_value, max_q_value, num_atoms).astype(np.float32)


def mean_of_atoms(logits: Any, support: Any) -> jax.Array:
    """Returns the mean of distributions over atoms, `[...]`, from their logits `[..., K]`; pure."""
    return jnp.sum(jax.nn.softmax(logits) * support, axis=-1)


def check_several_of(network: Network, action_spec: Any, least: int, kind: str) -> None:
    """Checks that a network returns several floats for every action.

    Args:
      network: made for these actions.
      action_spec: one integer action.
      least: the smallest number of floats for an action.
      kind: the class of such networks, for the message.

    Raises:
      SpecTypeError: one value for each action.
      SpecError: another number of actions, fewer than `least`, or values that are not floats.
    """
    num_actions = int(specs.num_values(specs.flatten(action_spec)[0]))
    output = network.create_variables()
    shape, dtype = getattr(output, "shape", ()), getattr(output, "dtype", None)
    if len(shape) == 2 and shape[0] == num_actions and shape[1] >= least and np.issubdtype(dtype, np.floating):
        return
    one_each = len(shape) == 1
    raise (SpecTypeError if one_each else SpecError)(
        f"{network.name} does not return a distribution for each action",
        expected=f"float32 ({num_actions}, K), K of {least} or more",
        got=f"{dtype} {shape}",
        cause="a network with one value for each action." if one_each else "the last layer's size.",
        fix=f"{kind}(observation_spec, action_spec)",
    )
