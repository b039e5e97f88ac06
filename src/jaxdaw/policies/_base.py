"""Policy: a pure `act(weights, time_step, policy_state, randomness) -> PolicyStep`, and the documented methods."""

from __future__ import annotations

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.errors import ConfigError, NonFiniteError, SpecError, SpecTypeError
from jaxdaw.math import soft_update
from jaxdaw.networks import Module, Network
from jaxdaw.policies._actions import as_declared, emitted_bounds, rows_without_action
from jaxdaw.policies._constraints import Splitter, check_mask_values, split_observation
from jaxdaw.policies._info import with_log_probability
from jaxdaw.policies._input_checks import InputChecks, as_seed
from jaxdaw.trajectories import PolicyStep, TimeStep, Trajectory, trajectory_spec


class Policy(Module):
    """A mapping from time steps to actions, to distributions over actions, and to what it remembers.

    A subclass writes `_distribution`, which is pure. Everything else, batching, state reset, clipping,
    log-probabilities, validation and compilation, is here.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: a nest of BoundedTensorSpec.
      policy_state_spec: a nest of specs; `()` for a policy without memory.
      info_spec: a nest of specs of what `action` reports.
      clip: whether float actions are clipped to their bounds. Environments clip what they are given, so a policy whose
        log-probabilities are learned from is made with False: it then records the action that it drew.
      emit_log_probability: whether `info` holds the log-probability of each emitted action.
      automatic_state_reset: whether a row's state is zeroed when its step is FIRST.
      observation_and_action_constraint_splitter: `observation -> (network_observation, mask)`, or None.
      name: defaults to the class name.

    Raises:
      SpecTypeError: `time_step_spec` is not a TimeStep.

    Attributes:
      draws: whether an action depends on the seed; False for the greedy choice.
      compiled_act: `(weights, time_step, policy_state, seed) -> PolicyStep`, `act` as one compiled call for host loops.
      learned_keys: `[N]` uint64, sorted, the `Decisions.keys` of the logged decisions that it was trained on; None if
        it was not trained on a log. `save_policy` keeps them, and `evaluate_off_policy` does not judge it by these.
    """

    draws = True
    learned_keys: np.ndarray | None = None
    changing_attributes: tuple[str, ...] = ()  # type: ignore[assignment]  # narrower than a Module's, and not assigned
    _how_to_save = "jaxdaw.training.save_policy(policy, directory)"

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        policy_state_spec: Any = (),
        info_spec: Any = (),
        clip: bool = True,
        emit_log_probability: bool = False,
        automatic_state_reset: bool = True,
        observation_and_action_constraint_splitter: Splitter | None = None,
        name: str | None = None,
    ):
        super().__init__(name)
        if not isinstance(time_step_spec, TimeStep):
            raise SpecTypeError(
                f"{type(self).__name__} needs a TimeStep of specs",
                expected="TimeStep",
                got=type(time_step_spec).__name__,
                fix="trajectories.time_step_spec(observation_spec)",
            )
        self._time_step_spec = time_step_spec
        self._action_spec = action_spec
        self._policy_state_spec = policy_state_spec
        if emit_log_probability:
            # A log-probability is at most 0; a log density may be positive.
            highest = 0.0 if all(map(specs.is_discrete, specs.flatten(action_spec))) else np.inf
            info_spec = with_log_probability(info_spec, specs.BoundedTensorSpec((), np.float32, -np.inf, highest))
        self._info_spec = info_spec
        self._clip = clip
        self._emit_log_probability = emit_log_probability
        self._automatic_state_reset = automatic_state_reset
        self._splitter = observation_and_action_constraint_splitter
        self._entropy = np.random.default_rng()
        self.compiled_act = jax.jit(self._act_from_seed)
        self._compiled_leaves = jax.jit(self._act_on_leaves)
        self._compiled_distribution = jax.jit(self.distribute)
        self._input_checks = InputChecks(self.name, time_step_spec)
        self._action_leaves = jax.tree.leaves(action_spec)
        self._step_structure = jax.tree.structure(self.policy_step_spec)
        self._emitted_bounds = [emitted_bounds(spec) for spec in self._action_leaves]

    # What a subclass writes (pure).

    def _distribution(self, weights: Any, time_step: TimeStep, policy_state: Any) -> PolicyStep:
        """Returns a PolicyStep whose action is a nest of distributions; pure.

        Args:
          weights: what `get_weights` gathered.
          time_step: `[B, ...]`.
          policy_state: `[B, ...]`, already reset.
        """
        raise NotImplementedError(f"{type(self).__name__} must define _distribution")

    def get_weights(self) -> Any:
        """Returns everything that `act` depends on as one pytree of arrays."""
        return ()

    def set_weights(self, weights: Any) -> None:
        """Makes the networks' arrays those of `get_weights` of a policy of the same making; they are used, not copied.

        Raises:
          SpecError: weights of another structure, shape or dtype.
        """
        mine, theirs = self.get_weights(), jax.tree.leaves(weights)
        if jax.tree.structure(mine) != jax.tree.structure(weights):
            raise SpecError(
                f"the weights have another structure than those of {self.name}",
                expected=str(jax.tree.structure(mine))[:80],
                got=str(jax.tree.structure(weights))[:80],
            )
        given = dict(zip(map(id, jax.tree.leaves(mine)), theirs, strict=True))
        for network in self._networks():
            own = network.get_weights()
            network.set_weights(jax.tree.map(lambda array: jnp.asarray(given[id(array)]), own))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = super().__deepcopy__(memo)
        twin.learned_keys = self.learned_keys
        return twin

    def _networks(self) -> tuple[Network, ...]:
        """The networks whose variables are this policy's."""
        return ()

    def _report(self, time_step: TimeStep, choice: PolicyStep, action: Any) -> Any:
        """Returns what `action` reports, once it is known; log-probabilities are added afterwards; pure.

        Args:
          time_step: `[B, ...]`.
          choice: what `_distribution` returned; its `info` is what was known before the draw.
          action: the nest that was drawn.
        """
        del time_step, action
        return choice.info

    # The pure core.

    def weights_at(self, inner: Any, step: Any) -> Any:
        """Returns what `act` depends on, as it is after `step` environment steps; pure.

        Args:
          inner: the weights without any number that follows a schedule; a wrapped policy's.
          step: environment steps, `[]`; only what follows a schedule depends on it.
        """
        del step
        return inner

    def weights_now(self, inner: Any) -> Any:
        """Returns what `act` depends on today: `inner`, and the numbers of schedules as they stand."""
        return inner

    def draw(self, key: jax.Array, num_steps: int, batch_size: int) -> Any:
        """Returns the randomness of `num_steps` calls of `act` in one draw, leading axis `num_steps`.

        Drawing for many steps at once is what makes short steps cheap: one threefry call for a thousand actions.
        """
        del batch_size
        return jax.random.split(key, num_steps)

    def _sample(self, distribution: Any, randomness: Any) -> Any:
        return distribution.sample(randomness)

    def _log_prob(self, distribution: Any, action: Any) -> jax.Array:
        return distribution.log_prob(action)

    def act(self, weights: Any, time_step: TimeStep, policy_state: Any, randomness: Any) -> PolicyStep:
        """Chooses an action; pure.

        Args:
          weights: from `get_weights`, or an agent's.
          time_step: `[B, ...]`.
          policy_state: `[B, ...]`.
          randomness: one entry of what `draw` returned.
        """
        choice = self.distribute(weights, time_step, policy_state)
        action = self._sample(choice.action, randomness)
        info = self._report(time_step, choice, action)
        if self._emit_log_probability:
            info = with_log_probability(info, self._log_prob(choice.action, action))
        if jax.tree.structure(info) != jax.tree.structure(self._info_spec):
            raise SpecTypeError(
                f"{self.name} does not report what its info_spec says",
                expected=str(self._info_spec),
                got=str(jax.tree.map(jnp.shape, info)),
                cause="info_spec only declares: a subclass's _distribution fills `info`.",
            )
        if self._clip:
            action = specs.clip_to_bounds(action, self._action_spec)
        action = specs.map_structure(as_declared, action, self._action_spec)
        return PolicyStep(action=action, state=choice.state, info=info)

    def distribute(self, weights: Any, time_step: TimeStep, policy_state: Any) -> PolicyStep:
        """Returns the distribution that `act` samples from; pure. Arguments as `act`."""
        if self._automatic_state_reset and self._policy_state_spec != ():
            policy_state = reset_rows(policy_state, time_step.is_first())
        return self._distribution(weights, time_step, policy_state)

    def initial_state(self, batch_size: int) -> Any:
        """Returns the state before the first step, zeros `[B, ...]`; pure."""
        return specs.zeros(self._policy_state_spec, (batch_size,))

    # The documented shell.

    def action(self, time_step: Any, policy_state: Any = (), seed: int | jax.Array | None = None) -> PolicyStep:
        """Returns the next action.

        Args:
          time_step: a TimeStep `[B, ...]`, or of one step without batch axis. For convenience a bare observation is
            accepted too, and stands for a step in the middle of an episode.
          policy_state: what the last call returned; `()` starts from zeros. A policy without memory ignores it.
          seed: an integer in `0..2**32 - 1` or a key; None draws from the operating system.

        Returns:
          A PolicyStep: NumPy arrays if NumPy came in, JAX arrays otherwise.

        Raises:
          SpecError, SpecTypeError: the time step does not match `time_step_spec`.
          MaskError: a row allows no action.
          NonFiniteError: the network returned NaN for a row.
          RuntimeError: the base constructor was not called.
        """
        self._require_initialized()
        time_step, batched = self._admit(time_step)
        policy_state = self._admit_state(policy_state, len(time_step.step_type), batched)
        key_or_seed = self._next_seed() if seed is None else as_seed(seed)
        leaves = self._compiled_leaves(self._weight_leaves(), tuple(time_step), policy_state, key_or_seed)
        return self._hand_back(leaves, batched, on_host=not isinstance(time_step.step_type, jax.Array))

    def distribution(self, time_step: Any, policy_state: Any = ()) -> PolicyStep:
        """Returns the distribution that `action` samples from. Arguments and errors are those of `action`."""
        self._require_initialized()
        time_step, batched = self._admit(time_step)
        policy_state = self._admit_state(policy_state, len(time_step.step_type), batched)
        step = self._compiled_distribution(self.get_weights(), time_step, policy_state)
        return step if batched else jax.tree.map(lambda x: x[0], step)

    def get_initial_state(self, batch_size: int | None = None) -> Any:
        """Returns the state before the first step: zeros `[B, ...]`, or without batch axis if None."""
        return specs.zeros(self._policy_state_spec, () if batch_size is None else (int(batch_size),))

    def greedy(self) -> Policy:
        """Returns the policy without its exploration, for evaluation: it shares this one's networks."""
        from jaxdaw.policies._exploration import GreedyPolicy

        return GreedyPolicy(self)

    def bind(self, seed: int = 0):
        """Returns a `BoundPolicy`: the fast path from observation to action, with today's weights built in."""
        from jaxdaw.policies._bound import BoundPolicy

        return BoundPolicy(self, seed)

    def update(
        self,
        policy: Policy,
        tau: float = 1.0,
        tau_non_trainable: float | None = None,
        sort_variables_by_name: bool = False,
    ) -> None:
        """Moves this policy's variables towards another's: `v = (1 - tau) v + tau source`.

        Args:
          policy: the source; unchanged.
          tau: in `[0, 1]`, for trainable variables; 0 changes nothing at all.
          tau_non_trainable: in `[0, 1]`, for the others; None is `tau`.
          sort_variables_by_name: pair variables by name instead of by order.

        Raises:
          ConfigError: a factor outside `[0, 1]`, or policies with different variables.
        """
        tau_rest = tau if tau_non_trainable is None else tau_non_trainable
        for name, value in (("tau", tau), ("tau_non_trainable", tau_rest)):
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"{name} is outside its range", expected="[0, 1]", got=str(value))
        mine, theirs = self._named_variables(), policy._named_variables()
        if sort_variables_by_name:
            mine, theirs = sorted(mine, key=lambda v: v[0]), sorted(theirs, key=lambda v: v[0])
        shapes = [np.shape(v[1].get_value()) for v in mine], [np.shape(v[1].get_value()) for v in theirs]
        if shapes[0] != shapes[1]:
            raise ConfigError(
                f"{self.name} cannot be updated from {policy.name}: they have different variables",
                expected=str(shapes[0])[:80],
                got=str(shapes[1])[:80],
            )
        if tau == 0.0:
            return
        for (_, target, trainable), (_, source, _) in zip(mine, theirs, strict=True):
            factor = tau if trainable else tau_rest
            if factor > 0.0:
                target.set_value(jnp.copy(soft_update(target.get_value(), source.get_value(), factor)))

    def variables(self) -> list[Any]:
        """Returns the variables that belong to the policy, in the order in which they were made."""
        return [variable for _, variable, _ in self._named_variables()]

    @property
    def trainable_variables(self) -> list[Any]:
        """The variables that training moves."""
        return [variable for _, variable, trainable in self._named_variables() if trainable]

    def _named_variables(self) -> list[tuple[str, Any, bool]]:
        found = []
        for network in self._networks():
            trainable = {id(v) for v in network.trainable_variables}
            found += [(name, v, id(v) in trainable) for name, v in network.named_variables()]
        return found

    @property
    def time_step_spec(self) -> TimeStep:
        """The spec of the steps that `action` accepts."""
        return self._time_step_spec

    @property
    def action_spec(self) -> Any:
        """The spec of the actions."""
        return self._action_spec

    @property
    def policy_state_spec(self) -> Any:
        """The spec of what is remembered between calls."""
        return self._policy_state_spec

    @property
    def info_spec(self) -> Any:
        """The spec of what `action` reports."""
        return self._info_spec

    @property
    def policy_step_spec(self) -> PolicyStep:
        """The spec of what `action` returns."""
        return PolicyStep(action=self._action_spec, state=self._policy_state_spec, info=self._info_spec)

    @property
    def trajectory_spec(self) -> Trajectory:
        """The spec of the frames that this policy records."""
        return trajectory_spec(self._time_step_spec, self._action_spec, self._info_spec)

    collect_data_spec = trajectory_spec

    @property
    def emit_log_probability(self) -> bool:
        """Whether `info` holds log-probabilities."""
        return self._emit_log_probability

    @property
    def observation_and_action_constraint_splitter(self) -> Splitter | None:
        """The splitter, or None."""
        return self._splitter

    def arguments_now(self) -> dict[str, Any]:
        """Returns all arguments of the constructor by name, a schedule as the number that it gives now."""
        return self.constructor_arguments(defaults=True)

    # What the shell does before and after the compiled call.

    def _next_seed(self) -> Any:
        return self._entropy.integers(2**32, dtype=np.uint32)

    def _act_from_seed(self, weights: Any, time_step: TimeStep, policy_state: Any, seed: Any) -> PolicyStep:
        key = seed if jnp.issubdtype(seed.dtype, jax.dtypes.prng_key) else jax.random.key(seed)
        randomness = jax.tree.map(lambda x: x[0], self.draw(key, 1, time_step.step_type.shape[0]))
        return self.act(weights, time_step, policy_state, randomness)

    def _weight_leaves(self) -> list[Any]:
        """The leaves of `get_weights()`; some policies have them without building the nest, which small calls feel."""
        return jax.tree.leaves(self.get_weights())

    def _act_on_leaves(self, leaves: Any, step: tuple[Any, ...], state: Any, seed: Any) -> list[Any]:
        with jax.ensure_compile_time_eval():  # numbers that follow schedules are computed now, not traced
            structure = jax.tree.structure(self.get_weights())
        return jax.tree.leaves(self._act_from_seed(structure.unflatten(leaves), TimeStep(*step), state, seed))

    def _admit(self, time_step: Any) -> tuple[TimeStep, bool]:
        """Returns the time step `[B, ...]` with exactly the declared leaves, and whether it came batched."""
        time_step, batched = self._input_checks.admit(time_step)
        self._check_mask(time_step)
        return time_step, batched

    def _admit_state(self, policy_state: Any, batch_size: int, batched: bool) -> Any:
        spec = self._policy_state_spec
        if spec == ():
            return ()
        if isinstance(policy_state, tuple) and len(policy_state) == 0:
            return self.initial_state(batch_size)
        if not batched:
            policy_state = specs.map_structure(lambda x: jnp.asarray(x)[None], policy_state)
        specs.check(policy_state, spec, (batch_size,), what=f"policy_state given to {self.name}", check_bounds=False)
        return policy_state

    def _check_mask(self, time_step: TimeStep) -> None:
        if self._splitter is not None:
            _, mask = split_observation(self._splitter, time_step.observation)
            check_mask_values(mask, int(np.max(specs.num_values(specs.flatten(self._action_spec)[0]))))

    def _no_action(self, rows: str) -> Exception:
        """Returns the error for rows, named in words, that have no action although their masks allow one."""
        return NonFiniteError(
            f"{self.name} has no action for {rows}",
            expected="finite values of every allowed action",
            got="NaN",
            cause="NaN in the observation of that row, or weights that diverged.",
            fix="numpy.isfinite(time_step.observation)",
        )

    def _hand_back(self, leaves: list[Any], batched: bool, on_host: bool) -> PolicyStep:
        """Returns the step of these leaves as it came in: NumPy or JAX arrays, a batch or a single one."""
        if on_host:
            leaves = [np.asarray(leaf) for leaf in leaves]
            for index, spec in enumerate(self._action_leaves):
                leaves[index] = leaves[index].astype(spec.dtype, copy=False)
        actions = leaves[: len(self._action_leaves)]  # they come first in a PolicyStep
        rows = rows_without_action(actions, self._emitted_bounds)
        if rows is not None:
            raise self._no_action(rows)
        return self._step_structure.unflatten(leaves if batched else [leaf[0] for leaf in leaves])


def reset_rows(state: Any, is_first: Any) -> Any:
    """Returns the state with the rows of new episodes zeroed; leaves are `[B, ...]`, `is_first` is `[B]`."""
    return jax.tree.map(lambda x: jnp.where(is_first.reshape((-1,) + (1,) * (x.ndim - 1)), jnp.zeros_like(x), x), state)
