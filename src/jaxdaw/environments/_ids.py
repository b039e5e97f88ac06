"""Makes Gymnasium environments by id, and explains unknown ids and missing packages."""

from __future__ import annotations

import difflib
from typing import Any

import gymnasium
from gymnasium import error as gymnasium_error

from jaxdaw.environments import _faults
from jaxdaw.errors import ConfigError, missing_extra

# Packages that register their environments on import, by the start of their ids.
_REGISTERED_BY = {"ALE/": "ale_py", "MiniGrid-": "minigrid", "BabyAI-": "minigrid", "MinAtar/": "minatar"}


def build(env_id: str, **kwargs: Any) -> gymnasium.Env:
    """Returns a new environment; None among the arguments is the environment's own default.

    Raises:
      ConfigError: an unknown id, module or argument.
      ImportError: a package that the environment needs is absent.
      EnvironmentFault: the constructor raised.
    """
    given = {name: value for name, value in kwargs.items() if value is not None}
    try:
        return gymnasium.make(env_id, disable_env_checker=True, **given)
    except gymnasium_error.DependencyNotInstalled as error:
        if "box2d" in str(error).lower():
            raise missing_extra("Box2D", "box2d", env_id) from error
        raise ImportError(f"{env_id} needs a package that is not installed.\n  {error}") from error
    except gymnasium_error.Error as error:
        raise unknown_id(env_id, gymnasium.registry, str(error)) from error
    except ModuleNotFoundError as error:
        module, colon, _ = env_id.partition(":")
        absent = getattr(error.__cause__, "name", None) or error.name or ""
        if not colon or module.split(".")[0] != absent.split(".")[0]:
            raise
        raise ConfigError(
            f"'{env_id}' names a module that cannot be imported",
            expected="module:Name-v0, with the module installed or in the working directory",
            got=str(error).split(".")[0],
            fix=f"PYTHONPATH=. in front of the command, or pip install {module.split('.')[0]}",
        ) from error
    except Exception as error:  # the environment's code may raise anything
        if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
            raise ConfigError(
                f"'{env_id}' does not take an argument that was given", got=str(error).split(" was raised")[0]
            ) from error
        raise _faults.escaped(error, f"the constructor of {env_id}").error("before any step") from error


def unknown_id(env_id: str, known: Any, reason: str = "") -> ConfigError:
    """Returns the error for an id that is not registered, with the nearest registered one."""
    close = difflib.get_close_matches(env_id, list(known), 3, cutoff=0.5)
    if not close:
        folded = {name.lower(): name for name in known}
        close = [folded[name] for name in difflib.get_close_matches(env_id.lower(), list(folded), 3, cutoff=0.5)]
    package = next((name for start, name in _REGISTERED_BY.items() if env_id.startswith(start)), "my_package")
    return ConfigError(
        f"unknown environment id '{env_id}'" + (f". Did you mean {' or '.join(close)}?" if close else ""),
        got=reason[:160] or None,
        cause="a typing error"
        + ("." if env_id.startswith("jax:") else ", or a package that registers it and has not been imported."),
        fix="one of " + ", ".join(known)
        if env_id.startswith("jax:")
        else f"'{package}:{env_id}' imports {package} first",
    )
