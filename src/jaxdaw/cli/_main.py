"""Parsing, and what a person sees when something is wrong: never a traceback for their own mistake."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import tyro

from jaxdaw.cli import _commands, _data, _log, _train
from jaxdaw.cli._given import Given, typed_flags, without_env_options
from jaxdaw.errors import ConfigError, EnvironmentFault, JaxdawError, JaxdawWarning, SpecError, StorageError
from jaxdaw.training import ALGORITHMS

_USAGE = 2
_NEGATED = re.compile("^--no-")
_COUNT = re.compile(r"^(\d+(?:\.\d+)?)([kKmM])$")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 1 for a failure, 2 for a mistake, 130 when interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a path may hold what the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(sys.argv[1:] if arguments is None else list(arguments))
    except BrokenPipeError:  # `jaxdaw ... | head`: whoever listened has gone
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return 141


def _run(arguments: list[str]) -> int:
    try:
        command, given = _parse(arguments)
        _configure_jax()
        with _warnings_in_a_line():
            return command.run(given) if getattr(command, "TAKES_GIVEN", False) else command.run()
    except _Finished:
        return 0
    except (ConfigError, SpecError) as error:
        return _complain(error, _USAGE)
    except (JaxdawError, ImportError) as error:
        return _complain(error, 1)
    except BrokenPipeError:
        raise
    except OSError as error:  # a full disk, a picture where no file can be
        place = "" if error.filename is None else f" at {error.filename}"
        failure = StorageError(f"a file could not be read or written{place}", got=error.strerror or str(error))
        return _complain(failure.with_traceback(error.__traceback__), 1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


@contextlib.contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """Shows our warnings as messages to a user: without the line of code that gives them."""
    usual = warnings.formatwarning

    def tell(message: Warning | str, category: type[Warning], *place: Any) -> str:
        ours = issubclass(category, JaxdawWarning) or category is UserWarning
        return f"warning: {message}\n" if ours else usual(message, category, *place)

    warnings.formatwarning = tell
    try:
        yield
    finally:
        warnings.formatwarning = usual


COMMANDS: dict[str, type] = {
    **{f"train {name}": _train.train_command(name, row) for name, row in ALGORITHMS.items()},
    "resume": _train.resume_command(),
    "decide": _commands.Decide,
    "evaluate": _commands.Evaluate,
    "play": _commands.Play,
    "record": _commands.Record,
    "plot": _commands.Plot,
    "data check": _data.Check,
    "data show": _data.Show,
    "data record": _data.Record,
    "data convert": _data.Convert,
    "data repair": _data.Repair,
    "log audit": _log.Audit,
    "log convert": _log.Convert,
    "ope": _log.Ope,
    "doctor": _commands.Doctor,
}


_GROUPS = sorted({name.split()[0] for name in COMMANDS if " " in name})


def _parse(arguments: list[str]) -> tuple[Any, Given]:
    if arguments[:1] in (["-h"], ["--help"]):
        print(_usage())
        raise _Finished
    if len(arguments) == 2 and arguments[0] in _GROUPS and arguments[1] in ("-h", "--help"):
        print(_usage(arguments[0]))
        raise _Finished
    if arguments[:1] == ["--version"]:
        from importlib.metadata import version

        print(f"jaxdaw {version('jaxdaw')}")
        raise _Finished
    name = next((name for name in COMMANDS if arguments[: len(name.split())] == name.split()), None)
    if name is None:
        raise _unknown_command(arguments)
    options, env_options = without_env_options(arguments[len(name.split()) :])
    if env_options and not getattr(COMMANDS[name], "TAKES_GIVEN", False):
        raise ConfigError(f"jaxdaw {name} takes no --env.NAME", got=f"--env.{next(iter(env_options))}")
    _refuse_repeated(options)
    registry = tyro.constructors.ConstructorRegistry()
    registry.primitive_rule(_counts)
    with registry, _colors_as_wanted():
        command = tyro.cli(
            COMMANDS[name],
            prog=f"jaxdaw {name}",
            args=options,
            config=(tyro.conf.OmitArgPrefixes,),
        )
    return command, Given(typed_flags(options), env_options)


@contextlib.contextmanager
def _colors_as_wanted() -> Iterator[None]:
    """Lets the parser know of NO_COLOR, which it does not heed, as of a terminal without colors, which it does."""
    terminal = os.environ.get("TERM")
    if os.environ.get("NO_COLOR") and terminal is not None:
        os.environ["TERM"] = "dumb"
    try:
        yield
    finally:
        if terminal is not None:
            os.environ["TERM"] = terminal


_MAY_BE_REPEATED = ("--wrapper", "--trust")


def _refuse_repeated(options: list[str]) -> None:
    names = [_NEGATED.sub("--", text.partition("=")[0].replace("_", "-")) for text in options if text[:2] == "--"]
    repeated = next((name for name in names if names.count(name) > 1 and name not in _MAY_BE_REPEATED), None)
    if repeated is not None:
        given = [f"{a} {b}" if b[:2] != "--" else a for a, b in zip(options, [*options[1:], "--"], strict=True)]
        got = ", ".join(text for text in given if _NEGATED.sub("--", text.replace("_", "-")).startswith(repeated))
        raise ConfigError(
            f"{repeated} is given more than once", expected="once; several values in a row where it takes them", got=got
        )


class _Finished(Exception):
    """What was asked for is printed."""


def _usage(group: str = "") -> str:
    """Returns what there is, or what there is of `train`, `data` or `log`."""
    shown = {name: command for name, command in COMMANDS.items() if not group or name.split()[0] == group}
    lines = [f"usage: jaxdaw {group or 'COMMAND'} ...", "", "Train decision-making agents on JAX.", ""]
    lines += [f"  {name:12s} {(command.__doc__ or '').splitlines()[0]}" for name, command in shown.items()]
    command = f"{group} NAME" if group else "COMMAND"
    return "\n".join([*lines, "", f"jaxdaw {command} --help lists a command's options."])


def _unknown_command(arguments: list[str]) -> ConfigError:
    def likeness(command: str) -> float:
        given = " ".join(arguments[: len(command.split())])
        return difflib.SequenceMatcher(None, command, given).ratio()

    in_group = bool(arguments) and arguments[0] in _GROUPS
    given = " ".join(arguments[: 2 if in_group else 1])
    if in_group and len(arguments) == 1:
        return ConfigError(f"'{given}' needs the name of a command\n\n{_usage(given)}")
    closest = max(COMMANDS, key=likeness)
    hint = f"\n  Did you mean: jaxdaw {closest}" if given and likeness(closest) > 0.5 else ""
    what = f"unknown command '{given}'" if given else "no command given"
    return ConfigError(f"{what}{hint}\n\n{_usage()}")


def _counts(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[int] | None:
    if info.type is not int:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=lambda args: parse_count(args[0]),
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    )


def parse_count(text: str) -> int:
    """Returns an integer written as 50000, 50_000, 50k, 1M or 1e6.

    >>> parse_count("50k"), parse_count("1e6"), parse_count("1_000")
    (50000, 1000000, 1000)
    """
    match = _COUNT.match(text)
    value = float(match[1]) * {"k": 1e3, "m": 1e6}[match[2].lower()] if match else float(text)
    if value != int(value):
        raise ValueError(f"{text} is not a whole number")
    return int(value)


def _configure_jax() -> None:
    """Keeps compiled programs between runs, and calls them in this thread, unless the user chose otherwise.

    Handing a small program to another thread, as JAX does on a CPU, takes longer than to run it: the thread has gone to
    sleep by the time that an environment has stepped.
    """
    import jax

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "jaxdaw", "xla")
        jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    if "JAX_CPU_ENABLE_ASYNC_DISPATCH" not in os.environ:
        jax.config.update("jax_cpu_enable_async_dispatch", False)


def _complain(error: Exception, status: int) -> int:
    if os.environ.get("JAXDAW_DEBUG"):
        raise error
    if isinstance(error, EnvironmentFault) and error.__cause__ is not None:  # whoever wrote the environment needs it
        traceback.print_exception(error.__cause__)
    print("\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())]), file=sys.stderr)
    return status
