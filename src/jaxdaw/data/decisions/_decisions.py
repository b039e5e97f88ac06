"""Decisions: logged decisions in memory, as columns: action, probability, reward, context, ..."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from jaxdaw import specs
from jaxdaw.data.decisions._columns import COLUMN, TEXT, names_of
from jaxdaw.data.decisions._keys import keys_of_ids, keys_of_rows
from jaxdaw.data.decisions._outcomes import Outcomes
from jaxdaw.errors import SpecError, SpecTypeError

MAX_ARMS = 1_000_000
TOLERANCE = 1e-4
"""Of probabilities and their sums, which are often logged as float32."""
_PER_ARM = (*names_of("bool", per_arm=True), *names_of("float64", per_arm=True))
_NESTS = (*names_of("nest"), *names_of("nest", per_arm=True))


@dataclasses.dataclass(frozen=True, eq=False)
class Decisions:
    """Logged decisions in memory, `N` of them among `A` arms.

    Columns may hold what is wrong, such as a probability of 0, so that nothing of a log is lost when it is read:
    `check_decisions` tells it, `audit` tests the rest, and nothing is evaluated or trained before it is mended.

    Attributes:
      action: `[N]` int64, the chosen arm, in `0..A-1`.
      reward: `[N]` float64, what it earned; NaN where no outcome is known.
      probability: `[N]` float64, with which it was chosen; NaN where that was not logged.
      context: a nest of `[N, ...]`, what the policy saw; `()` for nothing.
      num_arms: A; None takes that of the columns `[N, A]`, or the greatest action.
      eligible: `[N, A]` bool, which arms could be chosen; None for all.
      probabilities: `[N, A]` float64, of every arm, 0 where not eligible; None if only the chosen one's is known.
      arm_features: a nest of `[N, A, ...]`; `()` for none.
      decision_id: `[N]` text, each once; None for none.
      time: `[N]` float64, seconds since 1970 UTC; None for none.
      policy_version: `[N]` text; None for none.
      outcomes: how the rewards were joined, None if they came with the decisions.

    Raises:
      SpecError: columns of several lengths, or other shapes.
      SpecTypeError: text in place of numbers, or actions that are no integers.

    >>> decisions = Decisions(action=[0, 1, 1], reward=[0.0, 1.0, 0.5], probability=[0.5, 0.5, 0.5])
    >>> len(decisions), decisions.num_arms, decisions.select(decisions.action == 1).reward.tolist()
    (3, 2, [1.0, 0.5])
    """

    action: Any
    reward: Any = None
    probability: Any = None
    context: Any = ()
    num_arms: int | None = None
    eligible: Any = None
    probabilities: Any = None
    arm_features: Any = ()
    decision_id: Any = None
    time: Any = None
    policy_version: Any = None
    outcomes: Outcomes | None = None
    _origin: ClassVar[tuple[Decisions, Any] | None] = None  # the decisions that these are a part of, and which rows

    def __post_init__(self) -> None:
        action = np.asarray(self.action)
        if action.size and action.dtype.kind not in "iu":
            raise SpecTypeError("actions are no integers", expected="int64 [N]", got=f"{action.dtype} {action.shape}")
        action = action.astype(np.int64)
        if action.ndim != 1:
            raise SpecError("actions are not one for each decision", expected="[N]", got=str(action.shape))
        count = len(action)
        columns: dict[str, Any] = {"action": action}
        for name in _PER_ARM:
            given = getattr(self, name)
            columns[name] = None if given is None else _numbers(given, COLUMN[name].numpy_dtype, name)
        widths = [leaf.shape[1] for leaf in (columns[name] for name in _PER_ARM) if leaf is not None and leaf.ndim == 2]
        seen = widths[0] if widths else int(action.max(initial=0)) + 1
        num_arms = seen if self.num_arms is None else int(self.num_arms)
        if not 1 <= num_arms <= MAX_ARMS:
            raise SpecError(
                "a log has another number of arms than can be",
                expected=f"1 to {MAX_ARMS:,}",
                got=f"{num_arms:,}",
                cause="ids of items in place of the numbers of arms, which count from 0.",
                fix="arms, action = numpy.unique(ids, return_inverse=True)",
            )
        for name in _PER_ARM:
            _require(columns[name], (count, num_arms), name)
        columns["reward"] = _column(self.reward, count, "reward")
        columns["probability"] = _column(self.probability, count, "probability")
        if self.probability is None and columns["probabilities"] is not None:
            columns["probability"] = chosen(columns["probabilities"], action)
        columns["time"] = None if self.time is None else _column(self.time, count, "time")
        for name in names_of("text"):
            texts = getattr(self, name)
            columns[name] = None if texts is None else _texts(texts, count, name)
        for name, outer in (("context", (count,)), ("arm_features", (count, num_arms))):
            nest = specs.map_structure(np.asarray, getattr(self, name))
            for path, leaf in specs.flatten_with_path(nest):
                if leaf.dtype.kind not in "biufV" or leaf.dtype.names:
                    what = f"{name}{path} holds something else than numbers"
                    raise SpecTypeError(what, expected="an array of numbers", got=f"{leaf.dtype} {leaf.shape}")
                if leaf.shape[: len(outer)] != outer:
                    expected = f"({', '.join(map(str, outer))}, ...)"
                    raise SpecError(f"{name}{path} does not fit the decisions", expected=expected, got=str(leaf.shape))
            columns[name] = nest
        self.__dict__.update(columns, num_arms=num_arms)

    def __len__(self) -> int:
        return len(self.action)

    @property
    def context_spec(self) -> Any:
        """The nest of specs of one context."""
        return _inner_spec(self.context, 1)

    @property
    def arm_features_spec(self) -> Any:
        """The nest of specs of the features of one arm."""
        return _inner_spec(self.arm_features, 2)

    @property
    def in_range(self) -> np.ndarray:
        """`[N]` bool, whether the chosen arm is one of `0..A-1`."""
        return (self.action >= 0) & (self.action < self.num_arms)

    @property
    def is_possible(self) -> np.ndarray:
        """`[N]` bool, whether the probability of the chosen arm is above 0, and not above 1 by more than rounding."""
        return (self.probability > 0.0) & (self.probability <= 1.0 + TOLERANCE)

    @functools.cached_property
    def keys(self) -> np.ndarray:
        """`[N]` uint64, a number by which each decision is known again: the same whenever its log is read.

        It is made of the decision's id; without ids of action, time, context and features of arms, and of how many
        equal decisions stand before it. The reward, which may come later, plays no part. What `select` and `replace`
        return keeps the keys. Two decisions of a million have the same key with a probability of 3e-8.
        """
        if self.decision_id is not None:
            return keys_of_ids(self.decision_id.tolist())
        if self._origin is not None:
            whole, rows = self._origin
            return whole.keys[rows]
        nests = [leaf for nest in (self.context, self.arm_features) for leaf in specs.flatten(nest)]
        return keys_of_rows([self.action, *([] if self.time is None else [self.time.view(np.int64)]), *nests])

    def select(self, rows: Any) -> Decisions:
        """Returns some of the decisions.

        Args:
          rows: a slice, `[N]` bool, or indices.
        """

        def take(leaf: Any) -> Any:
            return None if leaf is None else leaf[rows]

        columns = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in (*_NESTS, "num_arms", "outcomes")
        }
        selected = Decisions(
            **{name: take(leaf) for name, leaf in columns.items()},
            context=specs.map_structure(take, self.context),
            arm_features=specs.map_structure(take, self.arm_features),
            num_arms=self.num_arms,
            outcomes=self.outcomes,
        )
        selected.__dict__["_origin"] = (self, rows)
        return selected

    def replace(self, **columns: Any) -> Decisions:
        """Returns the decisions with other columns."""
        replaced = dataclasses.replace(self, **columns)
        if len(replaced) == len(self):
            replaced.__dict__["_origin"] = (self, slice(None))
        return replaced


def chosen(values: np.ndarray, action: np.ndarray) -> np.ndarray:
    """Returns of each row `[N, A]` what stands at its action, NaN where there is no such arm."""
    known = (action >= 0) & (action < values.shape[1])
    picked = np.take_along_axis(values, np.where(known, action, 0)[:, None], axis=1)[:, 0]
    return picked if known.all() else np.where(known, picked, np.nan)


def concatenate(parts: Sequence[Decisions]) -> Decisions:
    """Returns the decisions of several parts, one after the other; those of fewer arms are widened.

    Raises:
      SpecError: contexts of several structures, or columns that only some of the parts have.
    """
    if len(parts) == 1:
        return parts[0]
    num_arms = max(part.num_arms or 1 for part in parts)
    columns: dict[str, Any] = {}
    for field in dataclasses.fields(Decisions):
        name = field.name
        values = [getattr(part, name) for part in parts]
        if name in ("num_arms", "outcomes"):
            continue
        if name in _NESTS:
            columns[name] = specs.map_structure(lambda *leaves: np.concatenate(leaves), *values)
            continue
        absent = sum(value is None for value in values)
        if absent == len(values):
            continue
        if absent:
            what = f"{name} is in some parts of the log, and not in {absent} of {len(values)}"
            raise SpecError(what, expected="in all or in none", got="both", fix="read the parts by themselves")
        if name in _PER_ARM:
            values = [np.pad(value, ((0, 0), (0, num_arms - value.shape[1]))) for value in values]
        columns[name] = np.concatenate(values)
    return Decisions(**columns, num_arms=num_arms)


def _inner_spec(nest: Any, outer: int) -> Any:
    return specs.map_structure(lambda leaf: specs.TensorSpec(leaf.shape[outer:], leaf.dtype), nest)


def _numbers(values: Any, dtype: Any, name: str) -> np.ndarray:
    dtype, found = np.dtype(dtype), np.asarray(values)
    if found.size and (found.dtype.kind not in "biuf" or (dtype == np.bool_ and found.dtype.kind == "f")):
        raise SpecTypeError(f"{name} holds something else", expected=dtype.name, got=str(found.dtype))
    return found.astype(dtype, copy=False)


def _column(values: Any, count: int, name: str) -> np.ndarray:
    found = np.full(count, np.nan) if values is None else _numbers(values, np.float64, name)
    _require(found, (count,), name)
    return found


def _texts(values: Any, count: int, name: str) -> np.ndarray:
    found = _as_text(values) if isinstance(values, list | tuple) else np.asarray(values)
    if found.size and found.dtype.kind not in "UT":
        raise SpecTypeError(f"{name} is no text", expected="text [N]", got=f"{found.dtype} {found.shape}")
    _require(found, (count,), name)
    return found.astype(TEXT, copy=False)


def _as_text(values: Sequence[Any]) -> np.ndarray:
    kinds = set(map(type, values))
    return np.array(values, TEXT) if kinds <= {str} else np.asarray(values)  # NumPy would widen all to the longest


def _require(values: np.ndarray | None, shape: tuple[int, ...], name: str) -> None:
    if values is not None and values.shape != shape:
        raise SpecError(f"{name} does not fit the decisions", expected=str(shape), got=str(values.shape))
