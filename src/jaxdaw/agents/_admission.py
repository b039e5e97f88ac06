"""What an agent lets in: batches of the declared structure, shape, dtype and length, without NaN."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jaxdaw import specs
from jaxdaw.agents._refusals import check_example_weights, explain_refusal
from jaxdaw.errors import JaxdawWarning, SpecError, SpecTypeError
from jaxdaw.trajectories import Trajectory, Transition

if TYPE_CHECKING:
    from jaxdaw.agents._base import Agent

_MANY_SHAPES = 8
"""Compiled shapes of experience at which a user is told to pad."""


class Admission:
    """Checks what `train` and `loss` are given; a batch like one seen before costs a few microseconds.

    Args:
      agent: whose batches are checked.
      frames: the T of every batch; None for any from 2, or where frames are examples.
      refuse_nan: whether NumPy batches that are not finite are refused here; otherwise they reach the guard.
    """

    def __init__(self, agent: Agent, frames: int | None, refuse_nan: bool):
        self._agent, self._frames, self._refuse_nan = agent, frames, refuse_nan
        self._by_frame = agent._learns_by_frame
        self._known: dict[Any, list[int]] = {}  # the batches that were seen, and where their floats are

    def admit(self, experience: Any, weights: Any, many: bool) -> tuple[Any, Any]:
        """Returns experience and weights that `update` can take; nothing on a device is waited for.

        Args:
          experience, weights: as given to `train`; with a leading axis K if `many`.

        Raises: as `Agent.train`.
        """
        leaves, structure = jax.tree.flatten((experience, weights))
        signature = (many, structure, *[(getattr(x, "dtype", None), getattr(x, "shape", None)) for x in leaves])
        places = self._known.get(signature)
        if places is None:
            pruned = self._check_experience(experience, weights, many)
            if jax.tree.structure((pruned, weights)) != structure:
                warnings.warn(
                    f"{self._agent.name} drops entries of the experience that training_data_spec does not name",
                    JaxdawWarning,
                    stacklevel=4,
                )
                return self.admit(pruned, weights, many)
            native = specs.in_native_order(pruned)
            if any(one is not other for one, other in zip(jax.tree.leaves(native), leaves)):
                return self.admit(native, weights, many)
            kinds = [getattr(getattr(leaf, "dtype", None), "kind", None) for leaf in leaves]
            places = self._known[signature] = [i for i, kind in enumerate(kinds) if kind == "f" and self._refuse_nan]
            if len(self._known) == _MANY_SHAPES:
                warnings.warn(
                    f"{self._agent.name} was compiled for {_MANY_SHAPES} different shapes of experience, which takes "
                    "seconds each time: pad the batches to one size, with weights of 0 for what is padding",
                    JaxdawWarning,
                    stacklevel=4,
                )
        floats = [leaf for place in places if isinstance(leaf := leaves[place], np.ndarray)]
        if not all(map(math.isfinite, map(np.vdot, floats, floats))):  # alone of all products does not warn of overflow
            explain_refusal(experience, self._agent.action_spec, self._agent._splitter)
        if weights is not None and not isinstance(weights, jax.Array):
            check_example_weights(weights)
        return experience, weights

    def _check_experience(self, experience: Any, weights: Any, many: bool) -> Any:
        lead = 1 if many else 0
        if isinstance(experience, Transition):
            spec, outer_rank = self._agent._transition_spec(), lead + 1
        elif isinstance(experience, Trajectory):
            spec, outer_rank = self._agent.training_data_spec, lead + self._agent.num_outer_dims
        else:
            raise SpecTypeError(
                f"{self._agent.name} trains on a Trajectory or a Transition",
                expected="Trajectory [B, T, ...]",
                got=type(experience).__name__,
                fix="trajectories.from_transition(time_step, action_step, next_time_step)",
            )
        pruned = specs.prune_extra_keys(spec, experience)
        specs.check(pruned, spec, outer_rank, what=f"experience given to {self._agent.name}", check_bounds=False)
        outer = specs.outer_shape(pruned, spec)
        if 0 in outer:
            raise SpecError("the experience is empty", expected="at least one row", got=str(outer))
        if isinstance(experience, Trajectory) and self._frames not in (None, outer[-1]):
            raise SpecError(
                f"{self._agent.name} trains on {self._frames} frames at a time",
                expected=f"T = train_sequence_length = {self._frames}",
                got=f"T = {outer[-1]}, with leaves {outer}",
                cause="the time axis has another length than n_step_update + 1, or batch and time are swapped.",
                fix=f"replay.sample(state, key, batch_size, num_steps={self._frames})",
            )
        if isinstance(experience, Trajectory) and not (self._frames or self._by_frame) and outer[lead + 1 :] == (1,):
            raise SpecError(f"{self._agent.name} needs at least two frames", expected="T >= 2", got="T = 1")
        self.check_weight_shape(weights, outer, lead)
        return pruned

    def check_weight_shape(self, weights: Any, outer: tuple[int, ...], lead: int = 0) -> None:
        """Refuses weights that do not go with experience of these outer axes, of which `lead` count its batches."""
        allowed = [outer[:lead], outer[: lead + 1]] + ([outer] if self._by_frame else [])
        if weights is not None and np.shape(weights) not in allowed:
            raise SpecError(
                "weights must be one number, or one for each row" + (", or for each frame" if self._by_frame else ""),
                expected=" or ".join(dict.fromkeys(map(str, allowed))),
                got=str(np.shape(weights)),
                cause="a trailing axis of size 1, which would broadcast to every pair of rows.",
                fix="weights.reshape(-1)",
            )
