"""Key bindings: which action of an environment each key, or set of keys, stands for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxdaw import specs
from jaxdaw.errors import ConfigError
from jaxdaw.specs import BoundedTensorSpec

IDLE = "none"
"""What stands in place of keys where no key is pressed."""
_TURNS = {2: ("left", "right"), 3: ("left", "down", "right"), 4: ("left", "down", "right", "up")}
_AXES = (("left", "right"), ("down", "up"), ("q", "e"))
_TWINS = {"left": "a", "right": "d", "down": "s", "up": "w"}
_DIGITS = 10


class Keys(NamedTuple):
    """Keys and what they do.

    Attributes:
      actions: of one step, without a batch axis, by the keys that are held together; under no keys, if at all, what is
        done where none is held.
      spec: of the action. For integers the largest set of keys that are all held counts; for floats what the held keys
        do adds up, within the bounds.
    """

    actions: Mapping[frozenset[str], np.ndarray]
    spec: BoundedTensorSpec

    def action(self, held: Collection[str]) -> np.ndarray | None:
        """Returns the action of these keys; None where they mean nothing, and the environment waits."""
        pressed = [keys for keys in self.actions if keys and keys.issubset(held)]
        idle = self.actions.get(frozenset())
        if not pressed:
            return idle
        if specs.is_discrete(self.spec):
            return self.actions[max(pressed, key=len)]
        total = sum((self.actions[keys] for keys in pressed), np.zeros(self.spec.shape) if idle is None else idle)
        return np.clip(total, self.spec.minimum, self.spec.maximum).astype(self.spec.dtype)

    def lines(self) -> list[str]:
        """Returns what the keys do, one line for each."""
        return [
            f"{'+'.join(sorted(keys)) or IDLE:>12s}  {np.asarray(do).tolist()}" for keys, do in self.actions.items()
        ]


def parse_keys(text: str, spec: Any) -> Keys:
    """Returns the keys of a text such as `left=0,right=1`.

    Args:
      text: `KEY=VALUE` with commas between; keys that are held together have `+` between them, `none` is no key. The
        value is an integer, or the numbers of a vector with `:` between them.
      spec: of the action: one integer, or a vector of floats.

    Raises:
      ConfigError: another form, a key twice, or an action outside the spec.

    >>> keys = parse_keys("none=0,left=1,left+up=2", BoundedTensorSpec((), "int64", 0, 2))
    >>> keys.action({"left", "up"}), keys.action({"left"}), keys.action({"up"})
    (array(2), array(1), array(0))
    """
    spec = _playable(spec)
    actions: dict[frozenset[str], np.ndarray] = {}
    for part in text.split(","):
        names, equals, value = part.strip().partition("=")
        held = frozenset(name.strip().lower() for name in names.split("+")) - {IDLE}
        try:
            numbers = np.array([float(number) for number in value.split(":")])
        except ValueError:
            numbers = np.zeros(0)
        if not equals or "" in held or numbers.size != max(np.prod(spec.shape), 1):
            raise ConfigError(
                "--keys does not say what the keys do",
                expected="KEY=VALUE, with commas between",
                got=repr(part),
                fix=_example(spec),
            )
        if held in actions:
            raise ConfigError("--keys names a key twice", expected="each once", got=names or IDLE)
        inside = np.all((numbers >= np.ravel(spec.minimum)) & (numbers <= np.ravel(spec.maximum)))
        if not inside or (specs.is_discrete(spec) and np.any(numbers % 1)):
            raise ConfigError(
                f"--keys lets {names} do what is no action",
                expected=f"{spec.minimum.min()} to {spec.maximum.max()}, {spec.dtype}",
                got=value,
                fix=_example(spec),
            )
        actions[held] = numbers.reshape(spec.shape).astype(spec.dtype)
    return Keys(actions, spec)


def default_keys(spec: Any, known: Mapping[Any, Any] | None = None) -> Keys:
    """Returns keys for an environment of which no more is known than what its actions are.

    Integers: their digits; and for up to four the arrows, or W, A, S and D, in the order left, down, right, up. No key
    is no action, so the environment waits. Vectors of up to three floats: arrows, or W, A, S and D, then Q and E drive
    each number to its bounds; no key is zero, or what is nearest to it.

    Args:
      spec: of the action.
      known: what the environment itself says, as Gymnasium's `get_keys_to_action`: actions by tuples of characters or
        of their codes.

    Raises:
      ConfigError: an action that a few keys cannot express.

    >>> keys = default_keys(BoundedTensorSpec((1,), "float32", -2, 2))
    >>> keys.action({"right"}), keys.action({"left"}), keys.action({"left", "d"}), keys.action(())
    (array([2.], dtype=float32), array([-2.], dtype=float32), array([0.], dtype=float32), array([0.], dtype=float32))
    """
    spec = _playable(spec)
    if specs.is_discrete(spec):
        low, count = int(spec.minimum), int(spec.maximum) - int(spec.minimum) + 1
        if known:
            chosen = {frozenset(_name(key) for key in keys if key is not None): int(do) for keys, do in known.items()}
        else:
            if count > _DIGITS:
                raise ConfigError(
                    "there are more actions than keys for them",
                    expected=f"at most {_DIGITS}, or --keys",
                    got=str(count),
                    fix=_example(spec),
                )
            digits = {frozenset([str(number)]): low + number for number in range(count)}
            chosen = {**_with_twins({key: low + number for number, key in enumerate(_TURNS.get(count, ()))}), **digits}
        return Keys({keys: np.asarray(action, spec.dtype) for keys, action in chosen.items()}, spec)
    size = int(np.prod(spec.shape))
    if size > len(_AXES) or not np.isfinite([spec.minimum, spec.maximum]).all():
        raise ConfigError(
            "no keys are known for this action",
            expected=f"at most {len(_AXES)} numbers, each with bounds, or --keys",
            got=str(spec),
            fix=_example(spec),
        )
    low, high = np.ravel(spec.minimum).astype(np.float64), np.ravel(spec.maximum).astype(np.float64)
    idle = np.clip(0.0, low, high)
    moves: dict[str, np.ndarray] = {}
    for axis in range(size):
        for key, bound in zip(_AXES[axis], (low, high), strict=True):
            moves[key] = np.where(np.arange(size) == axis, bound - idle, 0.0)
    held = {keys: move.reshape(spec.shape).astype(spec.dtype) for keys, move in _with_twins(moves).items()}
    return Keys({frozenset(): idle.reshape(spec.shape).astype(spec.dtype), **held}, spec)


def _with_twins(moves: Mapping[str, Any]) -> dict[frozenset[str], Any]:
    twins = {_TWINS[key]: move for key, move in moves.items() if key in _TWINS}
    return {frozenset([key]): move for key, move in {**moves, **twins}.items()}


def _name(key: Any) -> str:
    character = key if isinstance(key, str) else chr(key)
    return "space" if character == " " else character.lower()


def _playable(spec: Any) -> BoundedTensorSpec:
    leaves = specs.flatten(spec)
    first = leaves[0]
    sound = len(leaves) == 1 and first is spec and isinstance(first, BoundedTensorSpec)
    if not sound or not (first.shape == () or (specs.is_continuous(first) and len(first.shape) == 1)):
        raise ConfigError(
            "a keyboard cannot express this action",
            expected="one integer, or a vector of floats",
            got=str(spec)[:160],
            fix="gymnasium.wrappers.TransformAction(env, from_an_integer, gymnasium.spaces.Discrete(n))",
        )
    return first


def _example(spec: BoundedTensorSpec) -> str:
    if specs.is_discrete(spec):
        return f"--keys left={spec.minimum},right={spec.maximum}, and none=... for what no key does"
    size = max(int(np.prod(spec.shape)), 1)
    return "--keys " + ",".join(f"{key}={':'.join([value] + ['0'] * (size - 1))}" for key, value in
                                (("left", "-1"), ("right", "1")))  # fmt: skip
