"""GreedyRewardPredictionPolicy: takes the allowed action with the highest predicted reward."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.distributions import Greedy
from jaxdaw.errors import ConfigError, JaxdawWarning, MaskError, SpecError, explain
from jaxdaw.networks import Network, mean_of, require_network
from jaxdaw.policies._base import Policy
from jaxdaw.policies._constraints import Splitter, as_bool, split_observation
from jaxdaw.policies._info import BanditPolicyType, PolicyInfo
from jaxdaw.policies._q import check_input_of, check_scalar_action
from jaxdaw.policies._trained_constraints import NeuralConstraint, left_by, trained_constraints
from jaxdaw.trajectories import PolicyStep, TimeStep

Constraint = Callable[[Any], Any] | NeuralConstraint
"""`constraint(observation) -> feasible`: from what the network sees `[B, ...]`, bool or 0/1 integers `[B, A]`.

It is pure and is compiled into the policy: a network that it holds stays as it was when the policy was first used. One
that is trained belongs into a `NeuralConstraint`.
"""

_REPORTED = ("log_probability", "predicted_rewards_mean", "bandit_policy_type")


class GreedyRewardPredictionPolicy(Policy):
    """Takes the action of the highest predicted reward; ties go to the lowest.

    The way from observation to action is: reward model, values and mask, distribution. `distribution` is a `Greedy`
    over the predicted rewards, and every policy of exploration wraps this one and puts another distribution over the
    same values and the same mask in its place. What is not allowed is therefore never explored.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: one scalar integer action in `0..A-1`.
      reward_network: `network(observation, step_type) -> (rewards [B, A] or a RewardPrediction, ())`.
      observation_and_action_constraint_splitter: `observation -> (network_observation, mask)`, or None.
      accepts_per_arm_features: whether observations are `{"global": [B, ...], "per_arm": [B, A, ...]}`, with a
        `"num_actions"` `[B]` integer in `1..A` where only the first arms exist.
      constraints: functions `constraint(network_observation) -> feasible [B, A]`, pure; an action is allowed if all
        of them, and the mask, allow it. Each may also be a `NeuralConstraint`, of which more is said there.
      emit_policy_info: the names of the fields of `PolicyInfo` that `info` holds: "log_probability",
        "predicted_rewards_mean", "bandit_policy_type". Features of arms are always reported.
      name: defaults to the class name.

    Raises:
      SpecError: another action, or a network that does not return one value for each action.
      ConfigError: `reward_network` is not a Network, or has memory.
      NotImplementedError: a splitter, and features of arms.

    Warns:
      JaxdawWarning: a name that this policy does not report; the field stays empty.
    """

    draws = False

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        reward_network: Network,
        observation_and_action_constraint_splitter: Splitter | None = None,
        accepts_per_arm_features: bool = False,
        constraints: Sequence[Constraint] = (),
        emit_policy_info: Sequence[str] = (),
        name: str | None = None,
    ):
        spec = check_bandit_action(action_spec, type(self).__name__)
        require_network("reward_network", reward_network)
        if accepts_per_arm_features and observation_and_action_constraint_splitter is not None:
            raise NotImplementedError(
                explain(
                    "masks and features of arms exclude each other",
                    expected="accepts_per_arm_features, or a splitter",
                    got="both",
                    fix='"num_actions" in the observation, or constraints=(lambda observation: feasible,)',
                )
            )
        self._num_actions = int(specs.num_values(spec))
        self._reward_network = reward_network
        self._accepts_per_arm_features = accepts_per_arm_features
        self._constraints, self._trained = tuple(constraints), trained_constraints(constraints)
        self._emit_policy_info = _check_names(emit_policy_info, self._reported(), type(self).__name__)
        super().__init__(
            time_step_spec,
            action_spec,
            info_spec=self._info_spec_of(time_step_spec),
            clip=False,
            emit_log_probability="log_probability" in self._emit_policy_info,
            observation_and_action_constraint_splitter=observation_and_action_constraint_splitter,
            name=name,
        )
        self._check_network()

    # What a policy with another reward model writes.

    def _reported(self) -> tuple[str, ...]:
        """The fields of PolicyInfo that this policy can report."""
        return _REPORTED

    def _predict(self, weights: Any, observation: Any, step_type: Any) -> tuple[Any, dict[str, jax.Array]]:
        """Returns what `_choose` compares, and the fields of PolicyInfo known by now, `[B, A]`; pure."""
        output, _, _ = self._reward_network.apply(weights, observation, step_type)
        mean = mean_of(output)
        return mean, {"predicted_rewards_mean": mean}

    def _choose(self, values: Any, allowed: Any) -> Any:
        """Returns the distribution over actions; `values` come from `_predict`, `allowed` is `[B, A]` or None; pure."""
        return Greedy(values, allowed, dtype=np.dtype(self._action_spec.dtype))

    # The distribution.

    def _distribution(self, weights: Any, time_step: TimeStep, policy_state: Any) -> PolicyStep:
        observation, mask = split_observation(self._splitter, time_step.observation)
        allowed = as_bool(mask)
        if self._accepts_per_arm_features:
            observation, allowed = self._arms_of(observation)
        own, *others = weights if self._trained else (weights,)
        values, known = self._predict(own, observation, time_step.step_type)
        for constraint in self._constraints:
            if isinstance(constraint, NeuralConstraint):
                continue
            feasible = self._feasible(constraint, observation, (len(time_step.step_type), self._num_actions))
            allowed = feasible if allowed is None else allowed & feasible
        allowed = left_by(self._trained, others, observation, time_step.step_type, allowed)
        info = {field: value for field, value in known.items() if field in self._emit_policy_info}
        return PolicyStep(
            action=self._choose(values, allowed),
            state=policy_state,
            info=PolicyInfo(**info) if info else (),
        )

    def _arms_of(self, observation: Any) -> tuple[Any, jax.Array | None]:
        """Returns what the network sees, and which arms exist or None for all."""
        seen = {key: observation[key] for key in ("global", "per_arm")}
        if "num_actions" not in observation:
            return seen, None
        return seen, jnp.arange(self._num_actions) < observation["num_actions"][:, None]

    def _feasible(self, constraint: Callable[[Any], Any], observation: Any, shape: tuple[int, ...]) -> jax.Array:
        feasible = jnp.asarray(constraint(observation))
        if feasible.shape != shape:
            raise SpecError(
                f"a constraint of {self.name} does not say of every action whether it is feasible",
                expected=f"bool [B, A] = {shape}",
                got=f"{feasible.dtype} {feasible.shape}",
            )
        if feasible.dtype != jnp.bool_ and not jnp.issubdtype(feasible.dtype, jnp.integer):
            raise SpecError(
                f"a constraint of {self.name} is not sure",
                expected="bool [B, A]",
                got=str(feasible.dtype),
                cause="probabilities of being feasible, between which and a choice stands a threshold.",
                fix="lambda observation: probability(observation) > 0.5",
            )
        return feasible != 0

    def _report(self, time_step: TimeStep, choice: PolicyStep, action: Any) -> Any:
        found: dict[str, Any] = {}
        if "bandit_policy_type" in self._emit_policy_info:
            found["bandit_policy_type"] = jnp.full((*action.shape, 1), BanditPolicyType.GREEDY, jnp.int32)
        if self._accepts_per_arm_features:
            found["chosen_arm_features"] = features_of(time_step.observation["per_arm"], action)
        if not found:
            return choice.info
        info = choice.info if isinstance(choice.info, PolicyInfo) else PolicyInfo()
        return info._replace(**found)

    # The greedy choice.

    def greedy(self) -> Policy:
        """Returns this policy."""
        return self

    def draw(self, key: jax.Array, num_steps: int, batch_size: int) -> Any:
        """Returns a placeholder `[num_steps]`: nothing is random here."""
        return jnp.zeros(num_steps)

    def _next_seed(self) -> np.uint32:
        return np.uint32(0)

    def _sample(self, distribution: Any, randomness: Any) -> Any:
        return distribution.mode()

    # The shell.

    def _networks(self) -> tuple[Network, ...]:
        return (self._reward_network, *(constraint.constraint_network for constraint in self._trained))

    def get_weights(self) -> Any:
        """Returns the reward network's weights; with trained constraints a tuple, in which theirs follow."""
        weights = tuple(network.get_weights() for network in self._networks())
        return weights if self._trained else weights[0]

    @property
    def reward_network(self) -> Network:
        """The reward model."""
        return self._reward_network

    @property
    def accepts_per_arm_features(self) -> bool:
        """Whether observations hold features of arms."""
        return self._accepts_per_arm_features

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """What says which actions are feasible."""
        return self._constraints

    @property
    def emit_policy_info(self) -> tuple[str, ...]:
        """The names of the fields that `info` was asked to hold."""
        return self._emit_policy_info

    def _info_spec_of(self, time_step_spec: TimeStep) -> Any:
        found: dict[str, Any] = {}
        for field in set(self._emit_policy_info) & set(self._reported()) - {"log_probability"}:
            if field == "bandit_policy_type":
                highest = max(BanditPolicyType)
                found[field] = specs.BoundedTensorSpec((1,), np.int32, 0, int(highest), field)
            else:
                found[field] = specs.TensorSpec((self._num_actions,), np.float32, field)
        if self._accepts_per_arm_features:
            per_arm = self._check_arms(time_step_spec.observation)
            found["chosen_arm_features"] = specs.map_structure(_of_one_arm, per_arm)
        return PolicyInfo(**found) if found else ()

    def _check_arms(self, observation_spec: Any) -> Any:
        """Returns the spec of the arms' features."""
        keys = set(observation_spec) if isinstance(observation_spec, dict) else set()
        if not {"global", "per_arm"} <= keys <= {"global", "per_arm", "num_actions"}:
            raise SpecError(
                f"{type(self).__name__} is not given features of arms",
                expected='{"global": ..., "per_arm": [A, ...]}, and "num_actions" where their number varies',
                got=str(sorted(keys)) if keys else str(observation_spec)[:80],
            )
        for path, leaf in specs.flatten_with_path(observation_spec["per_arm"]):
            if leaf.shape[:1] != (self._num_actions,):
                raise SpecError(
                    f"the features of arms{f' at {path}' if path else ''} are not one row for each action",
                    expected=f"({self._num_actions}, ...)",
                    got=str(leaf.shape),
                )
        return observation_spec["per_arm"]

    def _check_network(self) -> None:
        self._check_values_of(self._reward_network, "reward")
        for constraint in self._trained:
            self._check_values_of(constraint.constraint_network, "value")

    def _check_values_of(self, network: Network, what: str) -> None:
        if network.state_spec != ():
            raise ConfigError(
                f"{network.name} has memory, and decisions of a bandit have no order",
                expected="state_spec=()",
                got=str(network.state_spec)[:80],
            )
        observation_spec = split_observation(self._splitter, self._time_step_spec.observation)[0]
        if self._accepts_per_arm_features:
            observation_spec = {key: observation_spec[key] for key in ("global", "per_arm")}
        check_input_of(network, observation_spec)
        wanted = (self._num_actions,)
        for leaf in specs.flatten(network.create_variables(observation_spec)):
            shape, dtype = getattr(leaf, "shape", None), getattr(leaf, "dtype", None)
            if shape != wanted or not np.issubdtype(dtype, np.floating):
                raise SpecError(
                    f"{network.name} does not return one {what} for each action",
                    expected=f"float32 {wanted}",
                    got=f"{dtype} {shape}",
                    cause="the last layer's size.",
                    fix=f"a last layer of {self._num_actions} units, or QNetwork(observation_spec, action_spec)",
                )

    def _check_mask(self, time_step: TimeStep) -> None:
        super()._check_mask(time_step)
        if self._accepts_per_arm_features and "num_actions" in time_step.observation:
            counts = np.asarray(time_step.observation["num_actions"])
            wrong = (counts < 1) | (counts > self._num_actions)
            if wrong.any():
                raise MaskError(
                    f"{int(wrong.sum())} of {counts.size} rows have a number of arms that cannot be "
                    f"(first row {int(np.argmax(wrong))})",
                    expected=f"1..{self._num_actions}",
                    got=str(counts[wrong][:3].tolist()),
                )

    def _no_action(self, rows: str) -> Exception:
        if not self._constraints:
            return super()._no_action(rows)
        return MaskError(
            f"{self.name} has no action for {rows}",
            expected="an action that the mask and all constraints allow",
            got="none, or NaN in the predicted rewards",
            cause="constraints that contradict each other there.",
            fix="lambda observation: feasible | ~feasible.any(axis=-1, keepdims=True)",
        )


def check_bandit_action(action_spec: Any, owner: str) -> specs.BoundedTensorSpec:
    """Returns the spec of a bandit's action: the bare spec of one scalar int32 or int64 from 0.

    Raises:
      SpecError: a nest, several actions, a shape, another dtype, no bounds, or a minimum other than 0.
    """
    spec = check_scalar_action(action_spec, owner)
    if spec is not action_spec or spec.dtype not in (np.int32, np.int64):
        raise SpecError(
            f"{owner} needs one scalar integer action in 0..n-1, not in a nest",
            expected="BoundedTensorSpec((), int32, 0, n - 1)",
            got=str(action_spec),
        )
    return spec


def features_of(per_arm: Any, action: jax.Array) -> Any:
    """Returns the features of the chosen arms.

    Args:
      per_arm: a nest of `[..., A, *feature]`.
      action: `[...]` integers in `0..A-1`; of one outside, the features are those of the nearest.
    """

    def pick(leaf: jax.Array) -> jax.Array:
        arms = leaf.shape[action.ndim]
        index = jnp.clip(action, 0, arms - 1).reshape(*action.shape, *(1,) * (leaf.ndim - action.ndim))
        return jnp.squeeze(jnp.take_along_axis(jnp.asarray(leaf), index, axis=action.ndim), axis=action.ndim)

    return specs.map_structure(pick, per_arm)


def _of_one_arm(spec: specs.TensorSpec) -> specs.TensorSpec:
    return specs.TensorSpec(spec.shape[1:], spec.dtype, spec.name)


def _check_names(names: Sequence[str], reported: tuple[str, ...], owner: str) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ConfigError(
            "emit_policy_info is one name, not several",
            expected="a tuple of names",
            got=repr(names),
            cause="a missing comma.",
            fix=f"emit_policy_info=({names!r},)",
        )
    names = tuple(names)
    strange = [name for name in names if name not in reported]
    if strange:
        warnings.warn(
            f"{owner} does not report {', '.join(map(repr, strange))}, which stays empty; "
            f"it knows {', '.join(reported)}",
            JaxdawWarning,
            stacklevel=3,
        )
    return names
