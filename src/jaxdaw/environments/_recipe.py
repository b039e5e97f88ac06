"""EnvironmentRecipe: id, arguments, wrappers and time limit of an environment, as JSON values."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import json
import re
from collections.abc import Mapping
from typing import Any

import gymnasium

from jaxdaw.environments._base import Environment, JaxEnvironment
from jaxdaw.environments._gymnasium import GymnasiumEnvironment, spec_to_remake
from jaxdaw.environments._ids import build
from jaxdaw.environments._make import JAX_ENVIRONMENTS, PURE_PREFIX, is_pure, jax_environment
from jaxdaw.errors import ConfigError, EnvironmentFault

_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_RESERVED = {
    "max_episode_steps": "EnvironmentRecipe(..., max_episode_steps=200)",
    "render_mode": "make_gymnasium(mode)",
}


@dataclasses.dataclass(frozen=True)
class EnvironmentRecipe:
    """What an environment is made from: its id, keyword arguments, wrappers and time limit.

    A run keeps its recipe, and training, evaluation, `record` and `play` all make their environments from it.

    Attributes:
      id: `Name-v0`, `Namespace/Name-v0`, or `module:Name-v0`, which imports the module first; `jax:Name-v0` for an
        environment in pure JAX.
      kwargs: keyword arguments of the environment's constructor, JSON values.
      wrappers: import paths `package.module:Wrapper` of functions or classes that take a Gymnasium environment and
        return one. They are applied in this order, outside of the time limit. Not for pure environments.
      max_episode_steps: actions after which an episode is cut; None is the environment's own limit.

    Raises:
      ConfigError: a field of another form.

    >>> recipe = EnvironmentRecipe("FrozenLake-v1", {"is_slippery": False}, max_episode_steps=50)
    >>> recipe.make(num_envs=2).max_episode_steps
    50
    >>> EnvironmentRecipe.from_json(recipe.to_json()) == recipe
    True
    """

    id: str
    kwargs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    wrappers: tuple[str, ...] = ()
    max_episode_steps: int | None = None

    def __post_init__(self):
        if not isinstance(self.id, str) or not self.id:
            raise ConfigError("id is no environment id", expected="'CartPole-v1'", got=repr(self.id))
        object.__setattr__(self, "kwargs", _json_values(self.kwargs))
        for name in self.kwargs:
            if name in _RESERVED:
                raise ConfigError(f"{name} is no keyword argument of an environment", got=name, fix=_RESERVED[name])
        object.__setattr__(self, "wrappers", _wrapper_paths(self.wrappers))
        if self.wrappers and is_pure(self.id):
            raise ConfigError(
                "wrappers take Gymnasium environments",
                expected=f"the Gymnasium environment of that name: '{self.id.removeprefix(PURE_PREFIX)}'",
                got=self.id,
            )
        limit = self.max_episode_steps
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise ConfigError("max_episode_steps is outside its range", expected="at least 1, or None", got=repr(limit))

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_json(), sort_keys=True))

    def make(self, num_envs: int = 1, *, render_mode: str | None = None) -> Environment | JaxEnvironment:
        """Returns a new environment.

        Args:
          num_envs: rows of a host environment. A pure one is a single row: loops vmap it as they need.
          render_mode: as for `make_gymnasium`, whose environment is returned if a mode is given.

        Raises:
          ConfigError: an unknown id, argument or wrapper.
          ImportError: a package that the environment needs is absent.
          EnvironmentFault: the environment's own constructor raised.
        """
        if not isinstance(num_envs, int) or num_envs < 1:
            raise ConfigError("num_envs is outside its range", expected="at least 1", got=str(num_envs))
        if is_pure(self.id) and render_mode is None:
            limit = {} if self.max_episode_steps is None else {"max_episode_steps": self.max_episode_steps}
            return jax_environment(self.id, **self.kwargs, **limit)
        return GymnasiumEnvironment(lambda: self.make_gymnasium(render_mode), num_envs)

    def make_gymnasium(self, render_mode: str | None = None) -> gymnasium.Env:
        """Returns a new Gymnasium environment, which can be drawn.

        Of a pure environment it is the Gymnasium environment of the same name.

        Args:
          render_mode: "rgb_array", "human", "ansi", or None.

        Raises:
          ConfigError, ImportError, EnvironmentFault: as `make`.
        """
        if is_pure(self.id) and self.id.removeprefix(PURE_PREFIX) not in gymnasium.registry:
            raise EnvironmentFault(
                f"{self.id} cannot be drawn",
                expected=f"a Gymnasium environment of the name {self.id.removeprefix(PURE_PREFIX)}",
                got="none",
                fix="jaxdaw evaluate RUN",
            )
        options = {**self.kwargs, "max_episode_steps": self.max_episode_steps, "render_mode": render_mode}
        environment = build(self.id.removeprefix(PURE_PREFIX), **options)
        for path in self.wrappers:
            environment = _wrapped(environment, path)
        return environment

    def modules(self) -> tuple[str, ...]:
        """Returns the modules that making this environment imports by name, without importing any.

        Modules of `gymnasium.wrappers` are left out. A recipe from a file that names any should be made only if the
        user trusts them.

        >>> EnvironmentRecipe("my_package:MyEnv-v0", wrappers=("my_package.wrappers:Scaled",)).modules()
        ('my_package', 'my_package.wrappers')
        """
        paths = self.wrappers if is_pure(self.id) else (self.id, *self.wrappers)
        named = [path.partition(":")[0] for path in paths if ":" in path]
        return tuple(dict.fromkeys(name for name in named if not f"{name}.".startswith("gymnasium.wrappers.")))

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as JSON values."""
        return {
            "id": self.id,
            "kwargs": dict(self.kwargs),
            "wrappers": list(self.wrappers),
            "max_episode_steps": self.max_episode_steps,
        }

    @classmethod
    def from_json(cls, value: Any) -> EnvironmentRecipe:
        """Returns the recipe of `to_json`, or of a bare id; nothing is imported.

        Raises:
          ConfigError: an unknown field, or one of another form.
        """
        if isinstance(value, str):
            return cls(value)
        if not isinstance(value, dict):
            raise ConfigError("an environment's recipe is no JSON object", expected='{"id": ...}', got=repr(value)[:60])
        known = [field.name for field in dataclasses.fields(cls)]
        for name in value:
            if name not in known:
                close = difflib.get_close_matches(str(name), known, 1)
                raise ConfigError(
                    f"an environment's recipe has no field {name!r}",
                    expected=", ".join(known),
                    got=repr(name),
                    fix=f"did you mean {close[0]}?" if close else None,
                )
        if "id" not in value:
            raise ConfigError("an environment's recipe has no id", expected="id", got=", ".join(value) or "nothing")
        return cls(**value)

    def __str__(self) -> str:
        """Returns the recipe in one line: `FrozenLake-v1(is_slippery=False), at most 50 steps`."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.kwargs.items())
        parts = [f"{self.id}({arguments})" if arguments else self.id, *(f"in {path}" for path in self.wrappers)]
        if self.max_episode_steps is not None:
            parts.append(f"at most {self.max_episode_steps} steps")
        return ", ".join(parts)


def recipe_of(environment: Any) -> EnvironmentRecipe | None:
    """Returns the recipe of an environment that exists; None if it cannot be told from the object.

    Args:
      environment: a `gymnasium.Env`, whose `spec` tells it unless a wrapper has arguments; or a pure one of ours.
    """
    if isinstance(environment, JaxEnvironment):
        return _recipe_of_pure(environment)
    known = spec_to_remake(environment)
    if known is None or any(wrapper.kwargs for wrapper in known.additional_wrappers):
        return None
    env_id = _importable_id(known)
    if env_id is None:
        return None
    registered = gymnasium.registry[known.id]
    own = known.additional_wrappers[len(registered.additional_wrappers) :]
    kwargs = {name: value for name, value in known.kwargs.items() if name not in _RESERVED}
    limit = known.max_episode_steps if known.max_episode_steps != registered.max_episode_steps else None
    try:
        return EnvironmentRecipe(env_id, kwargs, tuple(wrapper.entry_point for wrapper in own), limit)
    except ConfigError:  # arguments that are no JSON values, or wrappers without an import path
        return None


def _importable_id(known: Any) -> str | None:
    """Returns the id of a registered environment, with the package that registers it where that is not Gymnasium."""
    if known.id not in gymnasium.registry or not isinstance(known.entry_point, str):
        return None
    package = known.entry_point.partition(":")[0].partition(".")[0]
    return None if package == "__main__" else known.id if package == "gymnasium" else f"{package}:{known.id}"


def _recipe_of_pure(environment: JaxEnvironment) -> EnvironmentRecipe | None:
    env_id = next((env_id for env_id, kind in JAX_ENVIRONMENTS.items() if type(environment) is kind), None)
    if env_id is None:
        return None
    fields = dataclasses.fields(environment)  # type: ignore[arg-type]  # every environment of JAX_ENVIRONMENTS is a dataclass
    options = {field.name: getattr(environment, field.name) for field in fields}
    options = {field.name: options[field.name] for field in fields if options[field.name] != field.default}
    recipe = EnvironmentRecipe(env_id, max_episode_steps=options.pop("max_episode_steps", None), kwargs=options)
    return recipe if recipe.make() == environment else None  # a default limit that was switched off has no field


def _json_values(kwargs: Any) -> dict[str, Any]:
    """Returns a copy of keyword arguments, converted to JSON values and back."""
    try:
        if not isinstance(kwargs, Mapping) or not all(isinstance(name, str) for name in kwargs):
            raise TypeError("not a mapping from names")
        return json.loads(json.dumps(dict(kwargs), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(
            "the keyword arguments of an environment are no JSON values",
            expected="numbers, strings, lists, dictionaries, True, False or None, by name",
            got=f"{kwargs!r}"[:80],
            cause=f"{error}."[:120],
            fix="a function that makes the environment: lambda: MyEnv(argument)",
        ) from error


def _wrapper_paths(wrappers: Any) -> tuple[str, ...]:
    paths = (wrappers,) if isinstance(wrappers, str) else tuple(wrappers)
    for path in paths:
        if not isinstance(path, str) or not _IMPORT_PATH.fullmatch(path):
            raise ConfigError(
                "a wrapper is named by its import path", expected="package.module:Wrapper", got=repr(path)
            )
    return paths


def _wrapped(environment: gymnasium.Env, path: str) -> gymnasium.Env:
    module, _, attributes = path.partition(":")
    try:
        wrapper: Any = importlib.import_module(module)
        for name in attributes.split("."):
            wrapper = getattr(wrapper, name)
    except (ModuleNotFoundError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and not f"{module}.".startswith(f"{error.name}."):
            raise  # of a package that the wrapper's module needs
        raise ConfigError(
            f"there is no wrapper '{path}'",
            expected="package.module:Wrapper, installed or in the working directory",
            got=str(error),
            fix=f"PYTHONPATH=. in front of the command, or pip install {module.split('.')[0]}",
        ) from error
    try:
        wrapped = wrapper(environment)
    except TypeError as error:
        raise ConfigError(
            f"the wrapper '{path}' does not take an environment alone",
            expected="wrapper(environment)",
            got=str(error),
            fix="def my_wrapper(environment): return Wrapper(environment, argument)",
        ) from error
    if not isinstance(wrapped, gymnasium.Env):
        got = f"{type(wrapped).__module__}.{type(wrapped).__name__}"
        raise ConfigError(f"the wrapper '{path}' returned something else", expected="a gymnasium.Env", got=got)
    return wrapped
