"""as_environment: turns ids, recipes, Gymnasium environments and functions into an Environment with an owner."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import gymnasium
from gymnasium.vector import VectorEnv

from jaxdaw.environments._base import Environment, JaxEnvironment, cannot_remake
from jaxdaw.environments._gymnasium import GymnasiumEnvironment
from jaxdaw.environments._recipe import EnvironmentRecipe, recipe_of
from jaxdaw.errors import ConfigError

EnvironmentLike = (
    str
    | EnvironmentRecipe
    | gymnasium.Env
    | VectorEnv
    | Environment
    | JaxEnvironment
    | Callable[[], gymnasium.Env | VectorEnv | Environment | JaxEnvironment]
)
"""What `as_environment` takes: an id, a recipe, an environment of any kind, or a function that makes one."""


@dataclasses.dataclass(frozen=True)
class EnvironmentHandle:
    """An environment, how to make it again, and who closes it.

    Attributes:
      environment: on the host, or pure.
      name: for messages and files: the id, or the name of the class.
      recipe: what another process makes it from; None if only this process can, so that a run in it cannot be resumed.
      is_owned: whether `close` closes it: we made it. The caller's own environments stay open.
      maker: makes another one with a number of rows; None if there can only be this one.
    """

    environment: Environment | JaxEnvironment
    name: str
    recipe: EnvironmentRecipe | None
    is_owned: bool
    maker: Callable[[int], Environment | JaxEnvironment] | None

    @property
    def can_remake(self) -> bool:
        """Whether `remake` works: without it, nothing can be evaluated beside training."""
        return self.maker is not None

    def remake(self, num_envs: int = 1) -> EnvironmentHandle:
        """Returns the handle of a new environment of the same making, which it owns.

        Args:
          num_envs: rows of a host environment.

        Raises:
          ConfigError: an instance was given that nobody knows how to make again.
        """
        if self.maker is None:
            raise cannot_remake(self.name)
        return dataclasses.replace(self, environment=self.maker(num_envs), is_owned=True)

    def close(self) -> None:
        """Closes the environment if it is owned. Closing twice is allowed."""
        if self.is_owned and isinstance(self.environment, Environment):
            self.environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def as_environment(what: EnvironmentLike, num_envs: int = 1) -> EnvironmentHandle:
    """Returns an environment from whatever a user gives, with how to make it again and who closes it.

    ```text
    what is given                               made by       closed by us   made again from      resumed from
    id, or EnvironmentRecipe                    us            yes            the recipe           the recipe
    function that makes an environment          the function  yes            the function         the Gymnasium spec (1)
    gymnasium.Env                               the caller    no             its spec (1)         its spec (1)
    gymnasium.vector.VectorEnv                  the caller    no             its functions (2)    its rows' spec (1, 2)
    GymnasiumEnvironment                        the caller    no             as what it adapts    as what it adapts
    another Environment                         the caller    no             `remake`, if it can  nothing
    JaxEnvironment                              the caller    -              itself               its id (3)
    ```

    (1) if it is registered, and a wrapper around it records its arguments; to resume, the arguments must be JSON values
    and the wrapper must have none; (2) of a `SyncVectorEnv`; (3) if it is one of `JAX_ENVIRONMENTS`.

    Args:
      what: see above.
      num_envs: rows of what is made here. An instance has the rows that it has.

    Raises:
      ConfigError: something else than an environment, or an unknown id.

    >>> with as_environment("CartPole-v1", num_envs=2) as handle:
    ...     handle.environment.batch_size, handle.can_remake
    (2, True)
    """
    if isinstance(what, str):
        what = EnvironmentRecipe(what)
    if isinstance(what, EnvironmentRecipe):
        return EnvironmentHandle(what.make(num_envs), what.id, what, is_owned=True, maker=what.make)
    if isinstance(what, gymnasium.Env | VectorEnv | Environment | JaxEnvironment):
        return _given(what)
    if callable(what):
        return _made(what, num_envs)
    raise ConfigError(
        "no environment was given",
        expected="an id, an EnvironmentRecipe, an environment, or a function that makes one",
        got=f"{type(what).__module__}.{type(what).__name__}",
        cause="an environment that does not inherit from gymnasium.Env.",
        fix="class MyEnv(gymnasium.Env)",
    )


def _given(what: Any) -> EnvironmentHandle:
    if isinstance(what, JaxEnvironment):
        return EnvironmentHandle(what, *_described(what), is_owned=False, maker=lambda _: what)
    environment = what if isinstance(what, Environment) else GymnasiumEnvironment(what)
    described = environment.first_row if isinstance(environment, GymnasiumEnvironment) else environment
    maker = environment.remake if environment.can_remake else None
    return EnvironmentHandle(environment, *_described(described), is_owned=False, maker=maker)


def _described(environment: Any) -> tuple[str, EnvironmentRecipe | None]:
    """Returns the name and, if it can be told, the recipe of an environment."""
    recipe = recipe_of(environment)
    bare = environment.unwrapped if isinstance(environment, gymnasium.Env | VectorEnv) else environment
    return (type(bare).__name__ if recipe is None else recipe.id), recipe


def _made(function: Callable[[], Any], num_envs: int) -> EnvironmentHandle:
    first = function()
    if not isinstance(first, gymnasium.Env):
        if isinstance(first, VectorEnv | Environment | JaxEnvironment):
            return dataclasses.replace(
                _given(first), is_owned=True, maker=lambda _: as_environment(function()).environment
            )
        raise ConfigError(
            "a function that was to make an environment made something else",
            expected="gymnasium.Env, VectorEnv, Environment or JaxEnvironment",
            got=f"{type(first).__module__}.{type(first).__name__}",
            fix="lambda: MyEnv(), with class MyEnv(gymnasium.Env)",
        )
    made = [first]  # reused as the first row: an environment may be expensive, or hold a port
    environment = GymnasiumEnvironment(lambda: made.pop() if made else function(), num_envs)
    return EnvironmentHandle(environment, *_described(first), is_owned=True, maker=environment.remake)
