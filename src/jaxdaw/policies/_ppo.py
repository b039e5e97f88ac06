"""PPOPolicy: an actor policy that records what PPO learns from beside each action."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.distributions import is_distribution, parameters_of
from jaxdaw.errors import SpecError
from jaxdaw.networks import Network, require_network
from jaxdaw.policies._actor import ActorPolicy
from jaxdaw.policies._constraints import Splitter, split_observation
from jaxdaw.trajectories import PolicyStep, TimeStep


class PPOPolicy(ActorPolicy):
    """This is ActorPolicy with: the parameters of the distribution, and optionally a value, in its `info`.

    `info` is a dictionary, of which `collect=False` leaves nothing:

    * `dist_params`: in the nest of the actions, `{"logits": [B, ..., A]}` for integers and `{"loc": [B, ...],
      "scale": [B, ...]}` for floats, before masks;
    * `network_state`, `value_network_state`: `[B, ...]`, of an actor and of a value network with memory: the state
      before the step, from which a loss over the steps that follow goes on;
    * `value_prediction`: `[B]`, unless values are computed in `train`;
    * `discounted_return`: `[B]`, with a `reward_discount`.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: a nest of specs.
      actor_network: `network(observation, step_type, state) -> (distributions, state)`.
      value_network: `network(observation, step_type, state) -> (values [B], state)`.
      observation_normalizer: as for `ActorPolicy`; `value_network` is given what comes out of it too.
      clip: whether float actions are clipped to their bounds; PPO collects without.
      collect: False reports nothing.
      compute_value_and_advantage_in_train: False reports `value_prediction`.
      observation_and_action_constraint_splitter: `observation -> (network_observation, mask)`, or None.
      name: defaults to the class name.
      reward_discount: in `[0, 1]`; the rewards of the episode so far are summed up with it, as `discounted_return`: a
        reward that was earned k steps ago counts `reward_discount**k`. None sums nothing.

    Raises:
      ConfigError: a network that is none.
      SpecError: an actor that returns actions instead of distributions, or values that are not one number a row.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        actor_network: Network,
        value_network: Network,
        observation_normalizer: Network | None = None,
        clip: bool = True,
        collect: bool = True,
        compute_value_and_advantage_in_train: bool = False,
        observation_and_action_constraint_splitter: Splitter | None = None,
        name: str | None = None,
        *,
        reward_discount: float | None = None,
    ):
        require_network("actor_network", actor_network)
        require_network("value_network", value_network)
        self._value_network = value_network
        self._collect = collect
        has_memory = value_network.state_spec != ()
        self._reports_values = collect and not compute_value_and_advantage_in_train
        self._predicts = collect and (self._reports_values or has_memory)
        self._reward_discount = reward_discount if collect else None
        memory = {}
        if self._predicts and has_memory:
            memory["value_network"] = value_network.state_spec
        if self._reward_discount is not None:
            memory["discounted_return"] = specs.TensorSpec((), np.float32)
        self._remembers_more = bool(memory)
        _check_values(value_network)
        super().__init__(
            time_step_spec,
            action_spec,
            actor_network,
            info_spec=self._reported(actor_network) if collect else (),
            observation_normalizer=observation_normalizer,
            clip=clip,
            observation_and_action_constraint_splitter=observation_and_action_constraint_splitter,
            name=name,
            policy_state_spec={"actor_network": actor_network.state_spec, **memory} if memory else None,
        )

    @property
    def value_network(self) -> Network:
        """The network that predicts values."""
        return self._value_network

    @property
    def predicts_values(self) -> bool:
        """Whether the value network runs, too: its values are reported, or it has memory."""
        return self._predicts

    def _networks(self) -> tuple[Network, ...]:
        return (*super()._networks(), self._value_network) if self._predicts else super()._networks()

    def get_weights(self) -> Any:
        """Returns what `ActorPolicy` does; with predicted values, the pair of that and the other network's weights."""
        weights = tuple(network.get_weights() for network in super()._networks())
        actor = weights[0] if self._observation_normalizer is None else weights
        return (actor, self._value_network.get_weights()) if self._predicts else actor

    def _distribution(self, weights: Any, time_step: TimeStep, policy_state: Any) -> PolicyStep:
        actor, value = weights if self._predicts else (weights, weights)
        memory = policy_state if self._remembers_more else {"actor_network": policy_state}
        choice = super()._distribution(actor, time_step, memory["actor_network"])
        if not self._collect:
            return choice
        info: dict[str, Any] = {"dist_params": specs.map_structure(parameters_of, choice.action)}
        if self._actor_network.state_spec != ():
            info["network_state"] = memory["actor_network"]
        state = {"actor_network": choice.state}
        if self._predicts:
            observation, _ = split_observation(self._splitter, time_step.observation)
            if self._observation_normalizer is not None:
                observation = self._observation_normalizer.apply(actor[1], observation)[0]
            before = memory.get("value_network", ())
            predicted, after, _ = self._value_network.apply(value, observation, time_step.step_type, before)
            if self._reports_values:
                info["value_prediction"] = predicted
            if "value_network" in memory:
                info["value_network_state"], state["value_network"] = before, after
        if self._reward_discount is not None:  # the state of a FIRST step is zeros, and so is its reward
            earned = self._reward_discount * memory["discounted_return"] + time_step.reward
            info["discounted_return"] = state["discounted_return"] = earned
        state = {name: state[name] for name in memory} if self._remembers_more else choice.state
        return PolicyStep(action=choice.action, state=state, info=info)

    def _reported(self, actor_network: Network) -> dict[str, Any]:
        """Returns the spec of `info`."""

        def parameters(leaf: Any) -> dict[str, Any]:
            if not is_distribution(leaf):
                raise SpecError(
                    f"{actor_network.name} returns actions, whose probability cannot be changed",
                    expected="distributions over actions",
                    got=str(leaf),
                    fix="ActorDistributionNetwork(observation_spec, action_spec)",
                )
            return {name: specs.TensorSpec(x.shape[1:], x.dtype) for name, x in parameters_of(leaf).items()}

        scalar = specs.TensorSpec((), np.float32)
        reported: dict[str, Any] = {"dist_params": specs.map_structure(parameters, actor_network.create_variables())}
        if actor_network.state_spec != ():
            reported["network_state"] = actor_network.state_spec
        if self._value_network.state_spec != ():
            reported["value_network_state"] = self._value_network.state_spec
        if self._reports_values:
            reported["value_prediction"] = scalar
        if self._reward_discount is not None:
            reported["discounted_return"] = scalar
        return reported


def _check_values(network: Network) -> None:
    value = network.create_variables()
    if not isinstance(value, specs.TensorSpec) or value.shape != () or value.dtype.kind != "f":
        raise SpecError(
            f"{network.name} does not return one value for each row",
            expected="float32 ()",
            got=str(value)[:80],
            fix="ValueNetwork(observation_spec)",
        )
