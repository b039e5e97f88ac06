"""ActorPolicy: acts by a network that returns actions, or distributions over actions."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from jaxdaw import specs
from jaxdaw.distributions import Categorical, Deterministic, Distribution, Independent, Joint, is_distribution
from jaxdaw.errors import SpecError, explain
from jaxdaw.networks import Network, require_network
from jaxdaw.policies._base import Policy
from jaxdaw.policies._constraints import Splitter, as_bool, split_observation
from jaxdaw.policies._q import check_input_of
from jaxdaw.trajectories import PolicyStep, TimeStep


class ActorPolicy(Policy):
    """Acts by a network that returns actions, or distributions over actions, in the nest of the action spec.

    Log-probabilities are those of the sample before it is clipped to the spec; distributions are never clipped.
    Algorithms that learn from the log-probability of a recorded action (REINFORCE, PPO) collect with `clip=False`: with
    True the recorded action is not the one whose log-probability stands beside it.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: a nest of specs; integers, floats, of any shapes.
      actor_network: `network(observation, step_type, policy_state) -> (actions or distributions, state)`.
      info_spec: a nest of specs of what a subclass reports.
      observation_normalizer: a Network from observations to normalized ones, such as `StreamingNormalizer`; its
        statistics are weights of this policy. `actor_network` is given what comes out of it, which is float32 even for
        integers.
      clip: whether float actions are clipped to their bounds. The environment clips in any case.
      training: whether the network runs in training mode. Acting changes no weights: batch statistics move when an
        agent trains.
      observation_and_action_constraint_splitter: `observation -> (network_observation, mask)`, or None. The mask
        `[B, A]` holds for every element of the only action, which must be discrete.
      name: defaults to the class name.
      emit_log_probability: whether `info` holds the log-probability of the emitted action.
      policy_state_spec: of a subclass that remembers more than the network does; None is the network's.

    Raises:
      ConfigError: `actor_network` is not a Network.
      SpecError: the network's output is not what the action spec says.
      NotImplementedError: a splitter, and actions that are nested or continuous.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        actor_network: Network,
        info_spec: Any = (),
        observation_normalizer: Network | None = None,
        clip: bool = True,
        training: bool = False,
        observation_and_action_constraint_splitter: Splitter | None = None,
        name: str | None = None,
        *,
        emit_log_probability: bool = False,
        policy_state_spec: Any = None,
    ):
        require_network("actor_network", actor_network)
        if observation_normalizer is not None:
            require_network("observation_normalizer", observation_normalizer)
        super().__init__(
            time_step_spec,
            action_spec,
            policy_state_spec=actor_network.state_spec if policy_state_spec is None else policy_state_spec,
            info_spec=info_spec,
            clip=clip,
            emit_log_probability=emit_log_probability,
            observation_and_action_constraint_splitter=observation_and_action_constraint_splitter,
            name=name,
        )
        leaves = specs.flatten(action_spec)
        if self._splitter is not None and (len(leaves) != 1 or not specs.is_discrete(leaves[0])):
            raise NotImplementedError(
                explain(
                    "a mask says which values of one discrete action are allowed",
                    expected="one integer action",
                    got=f"{len(leaves)} actions" if len(leaves) != 1 else str(leaves[0]),
                    fix="observation_and_action_constraint_splitter=None",
                )
            )
        self._actor_network = actor_network
        self._observation_normalizer = observation_normalizer
        self._training = training
        observation_spec = split_observation(self._splitter, time_step_spec.observation)[0]
        if observation_normalizer is not None:
            check_input_of(observation_normalizer, observation_spec)
            observation_spec = observation_normalizer.create_variables(observation_spec)
        check_input_of(actor_network, observation_spec)
        _check_output(actor_network, action_spec)

    @property
    def observation_normalizer(self) -> Network | None:
        """The normalizer, or None."""
        return self._observation_normalizer

    @property
    def clip(self) -> bool:
        """Whether float actions are clipped to their bounds."""
        return self._clip

    @property
    def training(self) -> bool:
        """Whether the network runs in training mode."""
        return self._training

    def _networks(self) -> tuple[Network, ...]:
        normalizer = self._observation_normalizer
        return (self._actor_network,) if normalizer is None else (self._actor_network, normalizer)

    def get_weights(self) -> Any:
        """Returns the network's weights; with a normalizer, the pair of its and the normalizer's."""
        weights = tuple(network.get_weights() for network in self._networks())
        return weights[0] if self._observation_normalizer is None else weights

    def _sample(self, distribution: Any, randomness: Any) -> Any:
        return Joint(distribution).sample(randomness)

    def _log_prob(self, distribution: Any, action: Any) -> jax.Array:
        return Joint(distribution).log_prob(action)

    def distributions(
        self, weights: Any, observation: Any, step_type: Any, network_state: Any = (), training: bool = False
    ) -> tuple[Any, Any, Any]:
        """Returns what the network says of single steps or of sequences, for losses; pure.

        Args:
          weights: as `get_weights` returns them.
          observation: `[B, ...]` or `[B, T, ...]`, with the mask if there is one.
          step_type: int32 `[B]` or `[B, T]`.
          network_state: `[B, ...]`; `()` stands for zeros.
          training: whether the network runs in training mode.

        Returns:
          The masked distributions in the nest of the action spec, the network's next state, and its arrays that
          training does not move, as they are after the call.
        """
        observation, mask = split_observation(self._splitter, observation)
        if self._observation_normalizer is not None:
            weights, statistics = weights
            observation = self._observation_normalizer.apply(statistics, observation)[0]
        output, state, rest = self._actor_network.apply(weights, observation, step_type, network_state, training)
        return action_distributions(output, self._action_spec, mask), state, rest

    def _distribution(self, weights: Any, time_step: TimeStep, policy_state: Any) -> PolicyStep:
        action, state, _ = self.distributions(
            weights, time_step.observation, time_step.step_type, policy_state, self._training
        )
        return PolicyStep(action=action, state=state)


def action_distributions(output: Any, action_spec: Any, mask: Any) -> Any:
    """Returns what an actor network gave as a nest of distributions over actions.

    Args:
      output: a nest of distributions, or of actions, which are certain.
      action_spec: a nest of specs.
      mask: `[..., A]`, of the only action; None allows everything.

    Raises:
      SpecError: a mask, and another distribution than a Categorical.
    """
    allowed = as_bool(mask)
    return specs.map_structure(lambda spec, leaf: _masked(_as_distribution(leaf, spec), allowed), action_spec, output)


def _as_distribution(leaf: Any, spec: specs.TensorSpec) -> Distribution:
    return leaf if is_distribution(leaf) else Deterministic(leaf, len(spec.shape))


def _masked(distribution: Distribution, mask: jax.Array | None) -> Distribution:
    if mask is None:
        return distribution
    if isinstance(distribution, Independent):
        inner = distribution.distribution
        wide = mask.reshape(*mask.shape[:-1], *(1,) * distribution.event_ndims, mask.shape[-1])
        return dataclasses.replace(distribution, distribution=_masked(inner, wide))
    if not isinstance(distribution, Categorical):
        raise SpecError(
            "a mask needs a network that returns a Categorical",
            expected="Categorical",
            got=type(distribution).__name__,
            fix="ActorDistributionNetwork(observation_spec, action_spec)",
        )
    return dataclasses.replace(distribution, mask=mask)


def _check_output(network: Network, action_spec: Any) -> None:
    """Checks that what a network returns can be an action.

    Raises:
      SpecError: another structure, or a leaf of another shape or kind of dtype.
    """
    output = network.create_variables()
    specs.assert_same_structure(action_spec, output, what=f"the output of {network.name}")
    for (path, spec), leaf in zip(specs.flatten_with_path(action_spec), specs.flatten(output), strict=True):
        if is_distribution(leaf):
            _check_values(network, path, leaf, spec)
            leaf = jax.eval_shape(lambda d: d.mode(), leaf)
            shape = leaf.shape[1:]
        else:
            shape = leaf.shape
        same_kind = np.issubdtype(leaf.dtype, np.floating) == specs.is_continuous(spec)
        if shape != spec.shape or not same_kind:
            raise SpecError(
                f"{network.name} does not return actions{f' at {path}' if path else ''}",
                expected=f"{spec.dtype} {spec.shape}, or a distribution over it",
                got=f"{leaf.dtype} {shape}",
                fix="ActorDistributionNetwork(observation_spec, action_spec)",
            )


def _check_values(network: Network, path: str, distribution: Any, spec: Any) -> None:
    """Checks that a distribution over integers is over those of the spec."""
    categorical = distribution.distribution if isinstance(distribution, Independent) else distribution
    if not isinstance(categorical, Categorical) or not isinstance(spec, specs.BoundedTensorSpec):
        return
    counts = specs.num_values(spec)
    if not counts.size:
        return
    wanted = int(counts.max()), int(np.min(spec.minimum))
    got = int(categorical.logits.shape[-1]), int(categorical.minimum)
    if wanted != got:
        raise SpecError(
            f"{network.name} was made for other actions{f' at {path}' if path else ''}",
            expected=f"{wanted[0]} values from {wanted[1]}",
            got=f"{got[0]} values from {got[1]}",
            fix="ActorDistributionNetwork(observation_spec, action_spec)",
        )
