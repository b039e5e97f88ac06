"""Checks of agents: numbers and networks given to constructors, batches given to `train` and `loss`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdaw import specs
from jaxdaw.agents import _summaries
from jaxdaw.errors import ConfigError, JaxdawWarning, MaskError, NonFiniteError, SpecError, SpecTypeError
from jaxdaw.networks import require_network
from jaxdaw.policies import Splitter, split_observation
from jaxdaw.specs import StepType
from jaxdaw.trajectories import Trajectory, Transition

if TYPE_CHECKING:
    from jaxdaw.agents._shell import Shell

_MANY_SHAPES = 8
"""Compiled shapes of experience at which a user is told to pad."""

_UNUSED = (".time_step.reward", ".time_step.discount")
"""What a transition holds of the step before its own, of which nothing is learned."""


def check_range(
    name: str,
    value: Any,
    low: float,
    high: float,
    *,
    low_open: bool = False,
    integer: bool = False,
    optional: bool = False,
) -> None:
    """Checks a number given to a constructor.

    Raises:
      ConfigError: not a number, not an integer where one is needed, NaN, or outside `[low, high]` (`(low, high]`).
    """
    if value is None and optional:
        return
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    number = float(value) if is_number else math.nan  # type: ignore[arg-type]  # NaN is in no range
    inside = (low < number if low_open else low <= number) and number <= high and number != math.inf
    if not inside or (integer and number != int(number)):
        kind = "an integer" if integer else "a number"
        raise ConfigError(
            f"{name} is outside its range",
            expected=f"{kind} in {'(' if low_open else '['}{low}, {high}]",
            got=repr(value),
        )


def check_network(label: str, network: Any, is_trained: bool = True) -> None:
    """Checks that a network can be trained; one that no optimizer trains need not hold anything to train.

    Raises:
      ConfigError: no Network, nothing to train, or weights that are not finite.
    """
    require_network(label, network)
    named = _summaries.named_leaves(network.get_weights().params)
    if is_trained and not named:
        raise ConfigError(f"{label} has nothing to train", expected="at least one nnx.Param", got="none")
    for name, value in named:
        if not np.isfinite(np.asarray(value)).all():
            raise ConfigError(
                f"{label} starts with weights that are not finite at {name}", expected="finite", got="NaN"
            )


def check_optimizer(label: str, optimizer: Any) -> None:
    """Checks that an optimizer is an optax transformation.

    Raises:
      ConfigError: it is something else.
    """
    if not isinstance(optimizer, optax.GradientTransformation):
        raise ConfigError(
            f"{label} is not an optax transformation",
            expected="optax.GradientTransformation",
            got=type(optimizer).__module__ + "." + type(optimizer).__name__,
            cause="a Keras or PyTorch optimizer.",
            fix="optax.adam(1e-3)",
        )


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Checks that a string given to a constructor is one of the allowed values.

    Raises:
      ConfigError: it is another.
    """
    if value not in choices:
        raise ConfigError(f"unknown {name}", expected=", ".join(map(repr, choices)), got=repr(value))


def check_example_weights(weights: Any) -> None:
    """Checks the importance weights of a batch.

    Raises:
      SpecError: negative, infinite or NaN.
    """
    values = np.asarray(weights)
    if not ((values >= 0) & (values < np.inf)).all():
        raise SpecError(
            "weights must be finite and not negative",
            expected="[0, inf)",
            got=f"{values.min()} to {values.max()}",
            cause="a probability of 0 in a denominator, or advantages taken for weights.",
        )


def nan_unless_valid(experience: Any, weights: Any, lead: int) -> Any:
    """Returns the weights, or NaN where the batch holds step types or weights that are none, or is not finite; pure.

    NaN weights make the step be refused: what `BatchChecks` refuses of a NumPy batch is refused on the device too.

    Args:
      experience, weights: of one train step, or with a leading axis for several.
      lead: the number of leading axes.
    """
    steps = experience[::2] if isinstance(experience, Transition) else (experience,)
    types = [step.step_type for step in steps]
    types += [] if isinstance(experience, Transition) else [experience.next_step_type]
    is_valid = jnp.ones(jnp.shape(types[0])[:lead], bool)
    for values in types:
        exists = (values >= StepType.FIRST) & (values <= StepType.LAST)
        is_valid &= jnp.all(exists, axis=tuple(range(lead, jnp.ndim(values))))
    for path, leaf in specs.flatten_with_path(experience):  # what a clip or a mean would hide
        if jnp.issubdtype(leaf.dtype, jnp.floating) and not (isinstance(experience, Transition) and path in _UNUSED):
            is_valid &= jnp.all(jnp.isfinite(leaf), axis=tuple(range(lead, jnp.ndim(leaf))))
    if weights is None:
        return jnp.where(is_valid, 1.0, jnp.nan)
    is_valid = is_valid.reshape(*is_valid.shape, *(1,) * (jnp.ndim(weights) - lead))
    return jnp.where(is_valid & (jnp.asarray(weights) >= 0), weights, jnp.nan)


def explain_refusal(
    experience: Any, action_spec: Any, splitter: Splitter | None = None, weights: Any = None, by_frame: bool = True
) -> None:
    """Raises the error that names the faulty leaf and row of a batch; returns if the batch has no fault.

    Float actions may lie outside their bounds: environments clip what policies drew. Integer actions may where nothing
    is learned from them: in boundary frames, in rows of weight 0, and in the last frame of a window.
    """
    if weights is not None:
        check_example_weights(weights)
    for path, leaf in specs.flatten_with_path(experience):
        values = np.asarray(leaf)
        if isinstance(experience, Transition) and path in _UNUSED:
            continue
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            faulty = ~np.isfinite(values)
            index = [int(i) for i in np.argwhere(faulty)[0]]
            rows = faulty.reshape(len(values), -1).any(axis=1).sum()
            raise NonFiniteError(
                f"{path} holds NaN or infinity in {rows} of {len(values)} rows (first row {index[0]})",
                expected="finite numbers",
                got=f"{values[tuple(index)]} at {index}",
                cause="the environment or the recording; the weights are as they were.",
                fix="trajectories.validate_trajectory(experience)",
            )
        if path.endswith("step_type") and not np.isin(values, (0, 1, 2)).all():
            index = [int(i) for i in np.argwhere(~np.isin(values, (0, 1, 2)))[0]]
            raise SpecError(
                f"{path} holds a step type that does not exist",
                expected="FIRST 0, MID 1 or LAST 2",
                got=f"{values[tuple(index)]} at {index}",
            )
    is_frames = isinstance(experience, Trajectory)
    action = experience.action if is_frames else experience.action_step.action
    is_used = np.asarray(experience.step_type if is_frames else experience.time_step.step_type) != StepType.LAST
    if is_frames and not by_frame:
        is_used[..., -1] = False
    if weights is not None:
        is_used &= (np.asarray(weights) != 0.0).reshape(*np.shape(weights), *(1,) * (is_used.ndim - np.ndim(weights)))
    for (path, spec), leaf in zip(specs.flatten_with_path(action_spec), specs.flatten(action), strict=True):
        if isinstance(spec, specs.BoundedTensorSpec) and specs.is_discrete(spec):
            used = is_used.reshape(*is_used.shape, *(1,) * len(spec.shape))
            specs.check(np.where(used, leaf, spec.minimum).astype(spec.dtype), spec, is_used.ndim, what=f"action{path}")
    stuck = _states_without_action(experience, splitter)
    if stuck.any():
        raise MaskError(
            f"{int(stuck.sum())} of {stuck.size} states of the batch allow no action, though their "
            f"episodes go on (first at {[int(i) for i in np.argwhere(stuck)[0]]})",
            expected="at least one allowed action, or discount 0 on the way there",
            got="a mask of zeros",
            fix="return termination(observation, reward)",
        )


def _states_without_action(experience: Any, splitter: Splitter | None) -> np.ndarray:
    """Returns which states `[..., T]` were reached with a discount above 0 and allow no action."""
    if splitter is None or not isinstance(experience, Trajectory):
        return np.zeros(0, bool)
    mask = np.asarray(split_observation(splitter, experience.observation)[1]).astype(bool)
    stuck = np.asarray(~mask.any(axis=-1))
    if not stuck.any():
        return stuck
    goes_on = (np.asarray(experience.step_type) != StepType.LAST) & (np.asarray(experience.discount) != 0.0)
    stuck[..., 1:] &= goes_on[..., :-1]
    stuck[..., 0] = False  # the discount that led to the first frame is not in the batch
    return stuck


class BatchChecks:
    """Checks the batches given to `train` and `loss`; a batch of known shapes and dtypes takes microseconds.

    Args:
      agent: whose batches are checked.
    """

    def __init__(self, agent: Shell):
        self._agent = agent
        self._by_frame = agent._learns_by_frame
        self._frames = None if self._by_frame else agent.train_sequence_length
        self._known: dict[Any, tuple[list[int], list[tuple[int, Any, Any]]]] = {}

    def admit(self, experience: Any, weights: Any, many: bool) -> tuple[Any, Any]:
        """Returns experience and weights as `update` takes them, without waiting for device arrays.

        Args:
          experience, weights: as given to `train`; with a leading axis K if `many`.

        Raises: as `Agent.train`.
        """
        if weights is not None and not hasattr(weights, "dtype"):
            weights = np.asarray(weights, np.float32)
        leaves, structure = jax.tree.flatten((experience, weights))
        signature = (many, structure, *[(getattr(x, "dtype", None), getattr(x, "shape", None)) for x in leaves])
        known = self._known.get(signature)
        if known is None:
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
            known = self._known[signature] = self._places(leaves, structure)
            if len(self._known) == _MANY_SHAPES:
                warnings.warn(
                    f"{self._agent.name} was compiled for {_MANY_SHAPES} different shapes of experience, which takes "
                    "seconds each time: pad the batches to one size, with weights of 0 for what is padding",
                    JaxdawWarning,
                    stacklevel=4,
                )
        if isinstance(leaves[0], np.ndarray):
            self._check_values(experience, weights, leaves, *known)
        if weights is not None and not isinstance(weights, jax.Array):
            check_example_weights(weights)
        return experience, weights

    def _places(self, leaves: list[Any], structure: Any) -> tuple[list[int], list[tuple[int, Any, Any]]]:
        """Returns which leaves are floats, and which are integers with a least and a greatest value."""
        floats = [place for place, leaf in enumerate(leaves) if leaf is not None and np.dtype(leaf.dtype).kind == "f"]
        places = structure.unflatten(range(len(leaves)))[0]
        if isinstance(places, Trajectory):
            step_types, action = (places.step_type, places.next_step_type), places.action
        else:
            step_types, action = (
                (places.time_step.step_type, places.next_time_step.step_type),
                places.action_step.action,
            )
        bounded: list[tuple[int, Any, Any]] = [(place, 0, int(StepType.LAST)) for place in step_types]
        for place, spec in zip(specs.flatten(action), specs.flatten(self._agent.action_spec), strict=True):
            if isinstance(spec, specs.BoundedTensorSpec) and specs.is_discrete(spec):
                low, high = (bound.item() if bound.ndim == 0 else bound for bound in (spec.minimum, spec.maximum))
                bounded.append((place, low, high))
        return floats, bounded

    def _check_values(
        self,
        experience: Any,
        weights: Any,
        leaves: list[Any],
        floats: list[int],
        bounded: list[tuple[int, Any, Any]],
    ) -> None:
        """Raises for a NumPy batch that `update` would refuse; a valid batch takes about ten microseconds."""
        agent = self._agent
        is_sound = all(_is_within(leaves[place], low, high) for place, low, high in bounded)
        if agent._on_nan == "raise":
            values = [leaf for place in floats if isinstance(leaf := leaves[place], np.ndarray)]
            # unlike other products, vdot gives no warning on overflow
            is_sound &= all(map(math.isfinite, map(np.vdot, values, values)))
        if not self._by_frame:
            is_sound &= not _states_without_action(experience, agent._splitter).any()
        if not is_sound:
            self.explain(experience, weights)

    def explain(self, experience: Any, weights: Any) -> None:
        """Raises the error that says what is wrong with a batch; returns if nothing is."""
        agent = self._agent
        explain_refusal(experience, agent.action_spec, agent._splitter, weights, self._by_frame)

    def _check_experience(self, experience: Any, weights: Any, many: bool) -> Any:
        lead = 1 if many else 0
        if isinstance(experience, Transition):
            spec, outer_rank = self._agent.transition_spec, lead + 1
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
        """Raises if the shape of the weights does not fit the outer axes; the first `lead` axes count batches."""
        allowed = [outer[:lead], outer[: lead + 1]] + ([outer] if self._by_frame else [])
        if weights is not None and np.shape(weights) not in allowed:
            raise SpecError(
                "weights must be one number, or one for each row" + (", or for each frame" if self._by_frame else ""),
                expected=" or ".join(dict.fromkeys(map(str, allowed))),
                got=str(np.shape(weights)),
                cause="a trailing axis of size 1, which would broadcast to every pair of rows.",
                fix="weights.reshape(-1)",
            )


def _is_within(values: np.ndarray, low: Any, high: Any) -> bool:
    """Returns whether all integers lie in `low..high`; from 0 on, one look at them as unsigned numbers tells."""
    if np.ndim(low) == 0 and low == 0 and values.dtype in _UNSIGNED:
        return bool(np.maximum.reduce(values.view(_UNSIGNED[values.dtype]), axis=None) <= high)
    return bool((values >= low).all() and (values <= high).all())


_UNSIGNED = {np.dtype(f"{kind}{size}"): np.dtype(f"u{size}") for kind in "iu" for size in (1, 2, 4, 8)}
