"""Options of a run: those that a user gives, those that a file tells, and what of them may change."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import numpy as np

from jaxdaw.errors import ConfigError, StorageError

Config = TypeVar("Config", bound=Any)


def replaced(config: Config, options: Mapping[str, Any]) -> Config:
    """Returns the config with some options replaced.

    Raises:
      ConfigError: an unknown option, with the closest known one, or a value outside its range.
    """
    refuse_unknown(options, names_of(config))
    return dataclasses.replace(config, **options)


def names_of(config: Any) -> list[str]:
    """Returns the names of the options of a config, or of a class of them."""
    return [field.name for field in dataclasses.fields(config)]


def refuse_unknown(options: Collection[str], known: Collection[str]) -> None:
    """Refuses an option that is not known, with the closest one that is."""
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            raise ConfigError(
                f"unknown option '{name}'", expected=close[0] if close else ", ".join(known)[:200], got=name
            )


def refuse_fixed(algorithm: str, changes: Collection[str], resumable: Collection[str], known: Collection[str]) -> None:
    """Refuses to change what cannot be changed when a run is resumed.

    Raises:
      ConfigError: an option that has shaped what was learned so far; or one that does not exist.
    """
    refuse_unknown(changes, known)
    fixed = [name for name in changes if name not in resumable]
    if fixed:
        flags, allowed = ", ".join(map(flag_of, fixed)), ", ".join(map(flag_of, resumable))
        raise ConfigError(
            f"a run is resumed with the options that it has: {flags} cannot change",
            expected=f"{allowed}, or none" if allowed else "none",
            got=flags,
            fix=f"another run: jaxdaw train {algorithm} ... {flags} ...",
        )


def flag_of(name: str) -> str:
    """Returns an option as the command line spells it.

    >>> flag_of("lstm_size")
    '--lstm-size'
    """
    return f"--{name.replace('_', '-')}"


def refuse_idle(
    config: Any,
    given: Collection[str],
    depends: Mapping[str, tuple[str, tuple[Any, ...]]],
    spelled: Callable[[str], str] = str,
) -> None:
    """Refuses options that were given and have no effect beside the others.

    Args:
      config: the options.
      given: names of those that were given.
      depends: see `Algorithm`.
      spelled: how messages write a name; `flag_of` on the command line.

    Raises:
      ConfigError: such an option, and the value of which other one gives it an effect.
    """
    for name in given:
        if name in depends:
            other, values = depends[name]
            value = getattr(config, other)
            if value not in values:
                flag, needed = spelled(name), spelled(other)
                raise ConfigError(
                    f"{flag} has no effect with {needed} {value}",
                    expected=f"{needed} {' or '.join(map(str, values))}",
                    got=f"{needed} {value}",
                    fix=f"leave {flag} out, or {needed} {values[-1]}",
                )


def config_from_json(kind: type, contents: Mapping[str, Any], where: str) -> Any:
    """Returns the options that a run's `config.json` tells, its lists as tuples; those that it lacks are the defaults.

    Raises:
      StorageError: an unknown option, a value of another type, or outside its range; the message names `where`.
    """
    hints = typing.get_type_hints(kind)
    known = names_of(kind)
    values = {}
    for name, value in contents.items():
        if name not in known:
            close = difflib.get_close_matches(str(name), known, 1)
            raise StorageError(
                f"{where} holds an unknown option",
                expected=close[0] if close else ", ".join(known)[:200],
                got=str(name)[:60],
            )
        made = _as_tuple(value)
        if not _fits(made, hints[name]):
            raise StorageError(
                f"{where} holds an option of another type: {name}", expected=str(hints[name]), got=str(value)[:60]
            )
        values[name] = made
    try:
        return kind(**values)
    except ConfigError as error:
        raise StorageError(f"{where} holds options that cannot be: {error}") from error


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(part) for part in value) if isinstance(value, list) else value


def check_kinds(config: Any) -> None:
    """Checks the types of the options of a frozen dataclass, but of integers, whose ranges are checked elsewhere.

    Raises:
      ConfigError: a choice that does not exist, or a value of another type; the message names the option.
    """
    for name, hint in typing.get_type_hints(type(config)).items():
        if hint is int or typing.get_origin(hint) is typing.ClassVar:  # check_range takes 1e5 for an integer
            continue
        value = getattr(config, name)
        if not _fits(_as_tuple(value), hint):
            choices = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
            close = difflib.get_close_matches(str(value), list(map(str, choices)), 1)
            raise ConfigError(
                f"{name} has a value that it cannot have",
                expected=", ".join(map(str, choices)) or getattr(hint, "__name__", str(hint)).replace("typing.", ""),
                got=repr(value)[:60],
                fix=f"{name}={close[0]!r}" if close else None,
            )


def _fits(value: Any, hint: Any) -> bool:
    """Returns whether a value read from JSON has an option's type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is typing.Literal:
        return any(value == one and type(value) is type(one) for one in arguments)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return all(_fits(part, arguments[0]) for part in value)
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    if hint is float:
        return isinstance(value, float | int | np.floating | np.integer) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int | np.integer) and not isinstance(value, bool)
    return isinstance(value, hint if isinstance(hint, type) else object)
