"""QPolicy: action values as the logits of a categorical distribution."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxdaw import specs
from jaxdaw.distributions import Categorical
from jaxdaw.errors import SpecError, SpecTypeError
from jaxdaw.networks import Network, require_network
from jaxdaw.policies._base import Policy
from jaxdaw.policies._constraints import Splitter, as_bool, split_observation
from jaxdaw.trajectories import PolicyStep, TimeStep


class QPolicy(Policy):
    """Samples from the softmax of a Q-network's values; `GreedyPolicy` and the explorers wrap it.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: one integer action.
      q_network: `network(observation, step_type, network_state) -> (values [B, A], state)`.
      emit_log_probability: whether `info` holds the log-probability of the emitted action.
      observation_and_action_constraint_splitter: `observation -> (network_observation, mask)`, or None. Masked actions
        have probability exactly 0.
      validate_action_spec_and_network: False admits a minimum other than 0; actions are then `minimum + index`.
      name: defaults to the class name.

    Raises:
      SpecError: the action is not one scalar integer from 0, or the network does not return one value for each action.
      ConfigError: `q_network` is not a Network.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        q_network: Network,
        emit_log_probability: bool = False,
        observation_and_action_constraint_splitter: Splitter | None = None,
        validate_action_spec_and_network: bool = True,
        name: str | None = None,
    ):
        require_network("q_network", q_network)
        super().__init__(
            time_step_spec,
            action_spec,
            policy_state_spec=q_network.state_spec,
            clip=False,
            emit_log_probability=emit_log_probability,
            observation_and_action_constraint_splitter=observation_and_action_constraint_splitter,
            name=name,
        )
        if validate_action_spec_and_network:
            check_scalar_action(action_spec, "QPolicy")
            check_input_of(q_network, split_observation(self._splitter, time_step_spec.observation)[0])
            self.check_network(q_network, action_spec)
        self._q_network = q_network

    @staticmethod
    def check_network(network: Network, action_spec: Any) -> None:
        """Checks that a network returns what this class makes its values of; see `check_values_of`."""
        check_values_of(network, action_spec)

    def values_of(self, output: Any) -> Any:
        """Returns the action values `[..., A]` in what the network returns: all of it; pure."""
        return output

    def _networks(self) -> tuple[Network, ...]:
        return (self._q_network,)

    def get_weights(self) -> Any:
        """Returns the network's weights."""
        return self._q_network.get_weights()

    def _weight_leaves(self) -> list[Any]:
        own = type(self).get_weights is QPolicy.get_weights  # a subclass may override get_weights
        return self._q_network.weight_leaves() if own else super()._weight_leaves()

    def draw(self, key: Any, num_steps: int, batch_size: int) -> Any:
        """Returns uniforms `[num_steps, B]`: one number chooses one action."""
        return draw_uniforms(key, num_steps, batch_size)

    def _sample(self, distribution: Any, randomness: Any) -> Any:
        return sample_one_leaf(distribution, randomness)

    def _distribution(self, weights: Any, time_step: TimeStep, policy_state: Any) -> PolicyStep:
        observation, mask = split_observation(self._splitter, time_step.observation)
        output, state, _ = self._q_network.apply(weights, observation, time_step.step_type, policy_state)
        spec = specs.flatten(self._action_spec)[0]
        choice = Categorical(
            self.values_of(output), as_bool(mask), minimum=int(spec.minimum), dtype=np.dtype(spec.dtype)
        )
        return PolicyStep(action=specs.pack_like(self._action_spec, [choice]), state=state)


def draw_uniforms(key: Any, num_steps: int, batch_size: int) -> Any:
    """Returns float32 uniforms in `[0, 1)`, `[num_steps, B]`."""
    return jax.random.uniform(key, (num_steps, batch_size))


def sample_one_leaf(distribution: Any, uniform: Any) -> Any:
    """Samples a nest of exactly one finite distribution from one uniform number a row."""
    (leaf,) = specs.flatten(distribution)
    return specs.pack_like(distribution, [leaf.sample_from_uniform(uniform)])


def check_scalar_action(action_spec: Any, owner: str) -> specs.BoundedTensorSpec:
    """Returns the only leaf of an action spec that is one scalar integer from 0.

    Raises:
      SpecTypeError: several actions.
      SpecError: a shape, a float, no bounds, or a minimum other than 0.
    """
    leaves = specs.flatten(action_spec)
    spec = leaves[0] if len(leaves) == 1 else None
    if (
        spec is None
        or spec.shape != ()
        or not isinstance(spec, specs.BoundedTensorSpec)
        or not specs.is_discrete(spec)
        or int(spec.minimum) != 0
    ):
        got = f"{len(leaves)} actions" if spec is None else str(spec)
        raise (SpecTypeError if spec is None else SpecError)(
            f"{owner} needs one scalar integer action in 0..n-1",
            expected="BoundedTensorSpec((), int32, 0, n - 1)",
            got=got,
            cause="several, continuous or shifted actions.",
            fix="gymnasium.wrappers.TransformAction, or a policy-based agent for continuous actions",
        )
    return spec


def check_values_of(network: Network, action_spec: Any) -> None:
    """Checks that a network returns one float for every action.

    Raises:
      SpecError: another width, or values that are not floats.
    """
    num_actions = int(specs.num_values(specs.flatten(action_spec)[0]))
    output = network.create_variables()
    shape, dtype = getattr(output, "shape", None), getattr(output, "dtype", None)
    if shape != (num_actions,) or not np.issubdtype(dtype, np.floating):
        raise SpecError(
            f"{network.name} does not return one value for each action",
            expected=f"float32 ({num_actions},)",
            got=f"{dtype} {shape}",
            cause="the last layer's size.",
            fix=f"a last layer of {num_actions} units, or QNetwork(observation_spec, action_spec)",
        )


def check_input_of(network: Network, observation_spec: Any) -> None:
    """Checks that a network was made for observations of these specs.

    Raises:
      SpecError: another structure, shape or dtype.
    """
    wanted = network.input_tensor_spec
    if wanted is None:
        return
    given = specs.prune_extra_keys(wanted, observation_spec)
    specs.assert_same_structure(wanted, given, what=f"what {network.name} would be given")
    for (path, mine), theirs in zip(specs.flatten_with_path(wanted), specs.flatten(given), strict=True):
        if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
            raise SpecError(
                f"{network.name} was made for other observations{f' at {path}' if path else ''}",
                expected=f"{mine.dtype} {mine.shape}",
                got=f"{theirs.dtype} {theirs.shape}",
                fix=f"{type(network).__name__}(time_step_spec.observation, ...)",
            )
