"""BoundPolicy: a compiled function from observation to action, with the weights as constants."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.errors import NonFiniteError
from jaxdaw.policies._actions import emitted_bounds, is_emitted, rows_without_action
from jaxdaw.policies._base import Policy
from jaxdaw.policies._input_checks import in_the_middle, refuse_other_shapes


class BoundPolicy:
    """`act(observation) -> action`: one compiled call, NumPy to NumPy, with the weights as constants.

    The weights are those of the moment of binding: after training, or after mending weights that were NaN, bind again.
    Recurrent state is kept inside, one for each row; `reset` clears it.

    Args:
      policy: what to bind.
      seed: in `0..2**32 - 1`, for policies that sample.
    """

    def __init__(self, policy: Policy, seed: int = 0):
        self._policy = policy
        self._observation_spec = policy.time_step_spec.observation
        leaves = specs.flatten(self._observation_spec)
        self._single = leaves[0] if leaves and leaves[0] is self._observation_spec else None
        action_leaves = specs.flatten(policy.action_spec)
        self._is_nest = action_leaves[0] is not policy.action_spec
        self._bounds = [emitted_bounds(spec) for spec in action_leaves]
        self._stateful = policy.policy_state_spec != ()
        self._calls = 0
        self._state: Any = None
        self._weights = weights = policy.get_weights()
        key, spec = jax.random.key(seed), policy.time_step_spec

        def act(observation: Any, state: Any, calls: Any) -> Any:
            batched = specs.outer_shape(observation, spec.observation) != ()
            if not batched:
                observation = specs.map_structure(lambda x: x[None], observation)
            rows = specs.flatten(observation)[0].shape[0]
            time_step = in_the_middle(observation, (rows,), spec)
            before = policy.initial_state(rows) if state is None else state
            step = policy._act_from_seed(weights, time_step, before, jax.random.fold_in(key, calls))
            return (step.action if batched else specs.map_structure(lambda x: x[0], step.action)), step.state

        self._plain = jax.jit(lambda observation: act(observation, None, 0)[0])
        self._general = jax.jit(act)

    def __call__(self, observation: Any) -> Any:
        """Returns the action for one observation or a batch of them, as NumPy arrays.

        Raises:
          SpecError: an observation of another shape or dtype than the policy was made for.
          NonFiniteError, MaskError: a row has no action.
        """
        single = self._single
        if single is None or type(observation) is not np.ndarray or observation.dtype != single.dtype:
            observation = self._admit(observation)
        elif observation.shape != single.shape and observation.shape[1:] != single.shape:
            refuse_other_shapes(self._policy.name, observation, single)
        state = None
        if not self._policy.draws and not self._stateful:
            action = self._plain(observation)
        else:
            self._calls += 1
            action, state = self._general(observation, self._state, np.uint32(self._calls))
        if self._is_nest:
            emitted = specs.map_structure(lambda x, spec: np.asarray(x, spec.dtype), action, self._policy.action_spec)
        else:
            emitted = np.asarray(action)
        leaves = specs.flatten(emitted) if self._is_nest else [emitted]
        if not all(map(is_emitted, leaves, self._bounds)):
            raise self._refusal(observation, leaves)
        self._state = state if self._stateful else None
        return emitted

    def _refusal(self, observation: Any, leaves: list[np.ndarray]) -> Exception:
        """Returns the error for actions that hold the sentinel of a row without an action.

        Raises:
          MaskError: a mask in the observation that allows nothing.
        """
        _, batched = self._policy._admit(observation)
        rows = rows_without_action(leaves if batched else [leaf[None] for leaf in leaves], self._bounds)
        for path, leaf in jax.tree_util.tree_flatten_with_path(self._weights)[0]:
            if jnp.issubdtype(leaf.dtype, jnp.floating) and not np.isfinite(leaf).all():
                return NonFiniteError(
                    f"{self._policy.name} has no action for {rows}",
                    expected="finite weights when the policy was bound",
                    got=f"NaN or infinity in the bound weights{jax.tree_util.keystr(path)}",
                    cause="weights that had diverged; mending the network since then does not change bound weights.",
                    fix="policy.bind()  # again, after the weights are mended",
                )
        return self._policy._no_action(str(rows))

    def reset(self) -> None:
        """Forgets the recurrent state: the next call starts new episodes."""
        self._state = None

    def _admit(self, observation: Any) -> Any:
        return self._policy._input_checks.from_observation(observation).observation
