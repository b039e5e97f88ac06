"""GymnasiumEnvironment: adapts single and vector Gymnasium environments to Environment."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import DependencyNotInstalled
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from jaxdaw import specs
from jaxdaw.environments import _faults
from jaxdaw.environments._actions import ActionReader
from jaxdaw.environments._base import Environment, cannot_remake, cannot_render
from jaxdaw.environments._batched import RowBatch
from jaxdaw.environments._ids import build
from jaxdaw.environments._observations import ObservationReader
from jaxdaw.environments._vectored import VectorBatch, autoreset_mode
from jaxdaw.errors import ConfigError, EnvironmentFault
from jaxdaw.trajectories import TimeStep

LARGEST_SEED = 2**32 - 1


class GymnasiumEnvironment(Environment):
    """B rows of a Gymnasium environment.

    Final observations are exact in every mode that is served:

    ```text
    what is given                                   how it is stepped
    gymnasium.Env, or functions that make one       by us, in NEXT_STEP order; functions may give several rows
    SyncVectorEnv, NEXT_STEP or SAME_STEP           the same, over its own `envs`: rows can be held back one by one
    another vector environment, NEXT_STEP           as it is
    another vector environment, SAME_STEP, one row  held for one call, in which its reset observation is given
    SAME_STEP with more rows, DISABLED, no mode     refused with an EnvironmentFault
    ```

    Rewards are cast to float32. Spaces of float64 are declared, checked and stored as float32 (`observation_spec`,
    `action_spec`); actions reach the environment in the dtype of its own space, and `Discrete(n, start)` as
    `start .. start + n - 1`, as it expects them. `info` is dropped. Observations are copied: an environment may write
    into the array that it returned.

    Args:
      env: a `gymnasium.Env`, a `gymnasium.vector.VectorEnv`, a function that makes a `gymnasium.Env`, or a sequence of
        such functions.
      num_envs: rows to make with a single function; None is 1, or what is given.
      seed: of the first `reset` that is given none. Row i takes `seed + i`, as in Gymnasium: seeds that lie closer than
        `batch_size` share rows.

    Raises:
      EnvironmentFault: the vector environment cannot be served exactly.
      SpecError: a space that has no spec (Text, Graph, Sequence).
      ConfigError: something else than an environment, or as many rows as it cannot give.

    >>> environment = GymnasiumEnvironment.make("CartPole-v1", num_envs=2, seed=0)
    >>> environment.reset().observation.shape
    (2, 4)
    >>> environment.step(np.array([0, 1])).reward
    array([1., 1.], dtype=float32)
    """

    def __init__(
        self,
        env: gymnasium.Env | VectorEnv | Callable[[], gymnasium.Env] | Sequence[Callable[[], gymnasium.Env]],
        num_envs: int | None = None,
        *,
        seed: int | None = None,
    ):
        self._seed = _checked_seed(seed)
        self._closed = False
        self._given = env
        self._makers, rows = _rows_of(env, num_envs)
        self._first: Any = rows[0] if rows else env
        self._batch_size = len(rows) if rows else self._first.num_envs
        _check_rows(rows, num_envs, self._batch_size)
        observed, declared = (specs.from_gymnasium(space) for space in _spaces(self._first))
        self._observation_spec = specs.map_structure(_narrowed, observed)
        self._action_spec = specs.map_structure(_narrowed, declared)
        actions = ActionReader(self._action_spec, self._batch_size, declared)
        observations = ObservationReader(self._observation_spec, self._batch_size)
        self._batch: RowBatch | VectorBatch
        if rows:
            self._batch = RowBatch(rows, actions, observations)
        else:
            self._batch = VectorBatch(self._first, actions, observations)

    @classmethod
    def make(
        cls,
        env_id: str,
        num_envs: int = 1,
        *,
        seed: int | None = None,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> GymnasiumEnvironment:
        """Returns an environment by its registered id.

        Gymnasium's own passive checker is left out: what it warns of is checked here, and raised.

        Args:
          env_id: `Name-v0`, `Namespace/Name-v0`, or `module:Name-v0`, which imports the module first.
          num_envs: rows; they are stepped in this process.
          seed: of the first `reset` that is given none.
          max_episode_steps: after which an episode is cut; None is what the id was registered with.
          render_mode: "rgb_array" for `render`, "human" for a window.
          **kwargs: of the environment's constructor.

        Raises:
          ConfigError: an unknown id or argument.
          ImportError: a package that the environment needs is absent; the message has the line that installs it.
        """
        if not isinstance(num_envs, int) or num_envs < 1:
            raise ConfigError("num_envs is outside its range", expected="at least 1", got=str(num_envs))
        options = {**kwargs, "max_episode_steps": max_episode_steps, "render_mode": render_mode}
        return cls(lambda: build(env_id, **options), num_envs, seed=seed)

    def remake(self, num_envs: int) -> GymnasiumEnvironment:
        """Returns a new environment of the same making, with other rows: to evaluate beside training, for example.

        Of several functions the first makes all rows. An instance is made again from its Gymnasium `spec`, wrappers
        included.

        Raises:
          ConfigError: an instance without a `spec`, or in a wrapper that does not record its arguments.
        """
        if self._makers:
            return GymnasiumEnvironment(self._makers[0], num_envs)
        known = spec_to_remake(self._first)
        if known is None:
            raise cannot_remake(type(self._first.unwrapped).__name__)
        return GymnasiumEnvironment(lambda: gymnasium.make(known, disable_env_checker=True), num_envs)

    @property
    def can_remake(self) -> bool:
        """Whether `remake` works."""
        return bool(self._makers) or spec_to_remake(self._first) is not None

    @property
    def batch_size(self) -> int:
        """B, the number of rows."""
        return self._batch_size

    @property
    def observation_spec(self) -> Any:
        """Of one row; float64 spaces are float32 here."""
        return self._observation_spec

    @property
    def action_spec(self) -> Any:
        """Of one row; float64 spaces are float32 here."""
        return self._action_spec

    @property
    def max_episode_steps(self) -> int | None:
        """Actions after which an episode is cut; None if unknown or unlimited."""
        known = getattr(self._first, "spec", None)
        if known is None and isinstance(self._first, gymnasium.Env):  # maybe wrapped in a TimeLimit
            own = "_max_episode_steps"
            return self._first.get_wrapper_attr(own) if self._first.has_wrapper_attr(own) else None
        return None if known is None else known.max_episode_steps

    @property
    def render_mode(self) -> str | None:
        """The mode that the environment was made with."""
        return getattr(self._first, "render_mode", None)

    @property
    def unwrapped(self) -> Any:
        """The argument of the constructor: a Gymnasium environment, single or vector, or a function that makes one."""
        return self._given

    @property
    def first_row(self) -> gymnasium.Env | VectorEnv:
        """The Gymnasium environment of the first row; the vector environment where that steps its own rows."""
        return self._first

    def reset(self, seed: int | None = None) -> TimeStep:
        """Starts a new episode in every row; see `Environment.reset`."""
        self._check_open()
        seed, self._seed = _checked_seed(self._seed if seed is None else seed), None
        return self._batch.reset(seed)

    def step(self, action: Any) -> TimeStep:
        """Steps every row; see `Environment.step`."""
        if self._closed or self._seed is not None:
            return self.reset()
        return self._batch.step(action)

    def clipped_step(self, action: Any) -> TimeStep:
        """Returns `step`, which clips."""
        return self.step(action)

    def render(self) -> list[np.ndarray]:
        """Returns one frame `[height, width, 3]` uint8 for each row; nothing in a mode that draws on the screen.

        Raises:
          EnvironmentFault: it was made without a render mode.
          ImportError: the package that draws is absent.
        """
        if self.render_mode is None:
            raise cannot_render(self)
        try:
            frames = self._batch.render()
        except DependencyNotInstalled as error:
            raise ImportError(f"{error}\n  Fix: pip install 'gymnasium[classic-control]'") from error
        return [np.asarray(frame) for frame in frames if frame is not None]

    def close(self) -> None:
        """Closes every row. An error in closing becomes a warning."""
        if self._closed:
            return
        self._closed = True
        for close in self._batch.closers():
            try:
                close()
            except Exception as error:  # the environment's code may raise anything
                fault = _faults.raised(error, f"{type(self._first).__name__}.close()")
                warnings.warn(fault.message("which is ignored"), stacklevel=2)

    def _check_open(self) -> None:
        if self._closed:
            raise EnvironmentFault("the environment is closed", fix="make a new one, or close it later")


def spec_to_remake(env: Any) -> Any:
    """Returns the Gymnasium spec that an instance can be made from again; None if there is none."""
    known = env.spec if isinstance(env, gymnasium.Env) else None
    recorded = known is not None and all(wrapper.kwargs is not None for wrapper in known.additional_wrappers)
    return known if recorded else None


def _rows_of(env: Any, num_envs: int | None) -> tuple[list[Callable[[], gymnasium.Env]], list[gymnasium.Env]]:
    """Returns what makes the rows, if known, and the rows that we step ourselves: none if `env` steps its own."""
    if isinstance(env, gymnasium.Env):
        return [], [env]
    if type(env) is SyncVectorEnv and env.autoreset_mode is not AutoresetMode.DISABLED:
        return list(env.env_fns), list(env.envs)
    if isinstance(env, VectorEnv):
        autoreset_mode(env)
        return [], []
    makers: Any = [env] * (1 if num_envs is None else num_envs) if callable(env) else env
    if isinstance(makers, (list, tuple)) and makers and all(callable(maker) for maker in makers):
        return list(makers), [_made(maker) for maker in makers]
    raise ConfigError(
        "GymnasiumEnvironment was given something else than an environment",
        expected="gymnasium.Env, gymnasium.vector.VectorEnv, or functions that make a gymnasium.Env",
        got=f"{type(env).__module__}.{type(env).__name__}",
        cause="an id, or an environment that does not inherit from gymnasium.Env.",
        fix="GymnasiumEnvironment.make(env_id), or class MyEnv(gymnasium.Env)",
    )


def _made(maker: Callable[[], Any]) -> gymnasium.Env:
    env = maker()
    if isinstance(env, gymnasium.Env):
        return env
    raise ConfigError(
        "a function that was to make an environment made something else",
        expected="gymnasium.Env",
        got=f"{type(env).__module__}.{type(env).__name__}",
        fix="GymnasiumEnvironment(lambda: MyEnv()), with class MyEnv(gymnasium.Env)",
    )


def _check_rows(envs: list[gymnasium.Env], asked: int | None, have: int) -> None:
    distinct = len({id(env) for env in envs})
    if (asked is not None and asked != have) or distinct != len(envs):
        raise ConfigError(
            "the rows must be distinct environments, as many as num_envs",
            expected=str(asked or have),
            got=f"{distinct or have} distinct environments",
            cause="one instance for several rows.",
            fix="GymnasiumEnvironment(lambda: MyEnv(), num_envs=8)",
        )


def _spaces(env: Any) -> tuple[gymnasium.Space, gymnasium.Space]:
    if isinstance(env, VectorEnv):
        return env.single_observation_space, env.single_action_space
    for name in ("observation_space", "action_space"):
        if not isinstance(getattr(env, name, None), gymnasium.Space):
            raise EnvironmentFault(
                f"{type(env.unwrapped).__name__} declares no {name}",
                expected="a gymnasium.Space",
                got=_faults.brief(getattr(env, name, None)),
                fix=f"self.{name} = gymnasium.spaces.Discrete(2), in __init__",
            )
    return env.observation_space, env.action_space


def _narrowed(spec: specs.TensorSpec) -> specs.TensorSpec:
    """Returns the spec as it is stored: float64 is float32."""
    if spec.dtype != np.float64:
        return spec
    if isinstance(spec, specs.BoundedTensorSpec):
        with np.errstate(over="ignore"):  # a bound of 1e300 is no bound to a float32
            low, high = spec.minimum.astype(np.float32), spec.maximum.astype(np.float32)
        return specs.BoundedTensorSpec(spec.shape, np.float32, low, high, spec.name)
    return specs.TensorSpec(spec.shape, np.float32, spec.name)


def _checked_seed(seed: Any) -> int | None:
    if seed is None:
        return None
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool) and 0 <= seed <= LARGEST_SEED:
        return int(seed)
    raise ConfigError("seed is outside its range", expected=f"an integer in 0..{LARGEST_SEED}", got=repr(seed))
