"""What was typed: which flags, whatever their values, and the keyword arguments of an environment."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from jaxdaw.errors import ConfigError

Trust = Annotated[
    tyro.conf.UseAppendAction[tuple[str, ...]],
    tyro.conf.arg(metavar="MODULE", help="Module that a run of somebody else may import; may be repeated."),
]

_FLAG = re.compile(r"--(?P<name>[A-Za-z][\w-]*)(=.*)?", re.DOTALL)
_OPTION = re.compile(r"--env\.(?P<name>[A-Za-z_][\w-]*)(=(?P<value>.*))?", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Given:
    """What a command line says beyond the values of its flags.

    Attributes:
      flags: the flags that were typed, as names of fields; one that has its default value is among them, too.
      env_options: of `--env.NAME VALUE`: keyword arguments of the environment.
    """

    flags: frozenset[str] = frozenset()
    env_options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def among(self, names: Sequence[str]) -> list[str]:
        """Returns those of the names that were typed, in their order."""
        return [name for name in names if name in self.flags or f"no_{name}" in self.flags]


def without_env_options(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Returns the arguments without `--env.NAME VALUE`, and what these say.

    A value is JSON where it can be read so, else text. Dashes in a name stand for underscores, as in other flags.

    >>> without_env_options(["E", "--env.is-slippery", "false", "--env.map_name=8x8", "--seed", "1"])
    (['E', '--seed', '1'], {'is_slippery': False, 'map_name': '8x8'})

    Raises:
      ConfigError: a name without a value, or twice.
    """
    rest: list[str] = []
    options: dict[str, Any] = {}
    waiting = iter(arguments)
    for text in waiting:
        match = _OPTION.fullmatch(text)
        if match is None:
            rest.append(text)
            continue
        value = match["value"] if match["value"] is not None else next(waiting, None)
        name = match["name"].replace("-", "_")
        if value is None or name in options:
            raise ConfigError(
                f"--env.{match['name']} takes one value, once",
                got="none" if value is None else "two",
                fix=f"--env.{match['name']} VALUE",
            )
        options[name] = _value(value)
    return rest, options


def typed_flags(arguments: Sequence[str]) -> frozenset[str]:
    """Returns the flags among arguments, as names of fields.

    >>> sorted(typed_flags(["E", "--num-envs", "3", "--out=a", "--no-double", "-1"]))
    ['no_double', 'num_envs', 'out']
    """
    found = (_FLAG.fullmatch(text) for text in arguments)
    return frozenset(match["name"].replace("-", "_") for match in found if match is not None)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)
