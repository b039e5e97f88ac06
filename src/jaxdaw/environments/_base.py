"""Base classes: Environment (batched, on the host) and JaxEnvironment (pure functions of one row)."""

from __future__ import annotations

import abc
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np

from jaxdaw import specs, trajectories
from jaxdaw.errors import ConfigError, EnvironmentFault
from jaxdaw.trajectories import TimeStep


class Environment(abc.ABC):
    """B rows that step together on the host, each an endless stream of episodes.

    What `step` answers, one row at a time (r: the reward of the action; s: where it led):

    ```text
    the row stood at           its action    step_type   reward   discount   observation
    FIRST or MID               is taken      MID         r        1          s
    FIRST or MID, terminated   is taken      LAST        r        0          s, the final observation
    FIRST or MID, cut          is taken      LAST        r        1          s, the final observation: bootstrap from it
    LAST                       is ignored    FIRST       0        1          the start of the next episode
    nothing, before `reset`    is ignored    FIRST       0        1          the start of the first episode
    ```

    This is Gymnasium's NEXT_STEP autoreset. A row that both terminated and ran out of time has terminated.

    All values are NumPy arrays `[B, ...]`, made anew in every call: what was returned once never changes. An action is
    checked against `action_spec` before any row steps, except in rows at LAST, where it means nothing. Bounded float
    elements are clipped to their bounds instead: a policy hands on, and records, the action that it drew.

    Not handled: an environment that hangs (steps have no timeout), and its side effects (printing, global randomness).
    """

    @property
    @abc.abstractmethod
    def batch_size(self) -> int:
        """B, the number of rows."""

    @property
    @abc.abstractmethod
    def observation_spec(self) -> Any:
        """A nest of specs, of one row."""

    @property
    @abc.abstractmethod
    def action_spec(self) -> Any:
        """A nest of specs, of one row."""

    @property
    def reward_spec(self) -> specs.TensorSpec:
        """Of one row: a float32 scalar."""
        return specs.TensorSpec((), np.float32, "reward")

    def time_step_spec(self) -> TimeStep:
        """Returns the TimeStep of specs that `reset` and `step` answer with, of one row."""
        return trajectories.time_step_spec(self.observation_spec, self.reward_spec)

    @property
    def max_episode_steps(self) -> int | None:
        """Actions after which an episode is cut; None if unknown or unlimited."""
        return None

    @property
    def render_mode(self) -> str | None:
        """The render mode; None if it cannot render."""
        return None

    @property
    def unwrapped(self) -> Any:
        """The environment that this one adapts; itself if it adapts none."""
        return self

    @abc.abstractmethod
    def reset(self, seed: int | None = None) -> TimeStep:
        """Starts a new episode in every row, and returns its FIRST step.

        Args:
          seed: in `0..2**32 - 1`; the same seed and actions give the same stream. None goes on with the randomness
            that is there.
        """

    @abc.abstractmethod
    def step(self, action: Any) -> TimeStep:
        """Returns what the actions led to; see the table above.

        Args:
          action: a nest of `[B, ...]`, NumPy or JAX; another width of the same kind of number is converted.

        Raises:
          SpecError: an action outside `action_spec`; no row has stepped.
          EnvironmentFault: the environment raised or broke its contract; every row starts anew at the next call.
        """

    def clipped_step(self, action: Any) -> TimeStep:
        """Returns `step` of the action with its bounded float elements clipped to `action_spec`.

        Drivers and loops call this, so `step` of a subclass receives actions within their bounds.
        """
        return self.step(specs.clip_to_bounds(action, self.action_spec))

    def remake(self, num_envs: int) -> Environment:
        """Returns a new environment made in the same way, with `num_envs` rows, for evaluation during training.

        Raises:
          ConfigError: nobody knows how to make this one again.
        """
        del num_envs
        raise cannot_remake(type(self.unwrapped).__name__)

    @property
    def can_remake(self) -> bool:
        """Whether `remake` works."""
        return False

    def render(self) -> list[np.ndarray]:
        """Returns one frame `[height, width, 3]` uint8 for each row.

        Raises:
          EnvironmentFault: this environment draws nothing.
        """
        raise cannot_render(self)

    def close(self) -> None:  # noqa: B027  optional: most environments hold no resources
        """Releases windows and processes. Closing twice is allowed; using a closed environment is not."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class JaxEnvironment(abc.ABC):
    """One row as two pure functions: safe under `jit`, `vmap`, `scan`, and on a device.

    The table of `Environment` holds: after LAST, `step` ignores its action and returns FIRST. `step` does not check its
    action. Drivers and loops call `clipped_step`, so float elements are within their bounds when they arrive.

    Instances are compared and hashed (compiled loops are kept for each): a frozen dataclass of options does it right.

    >>> from jaxdaw import environments
    >>> environment = environments.CartPole()
    >>> state, time_step = environment.init(jax.random.key(0))
    >>> state, time_step = jax.jit(environment.step)(state, 1)
    >>> time_step.reward
    Array(1., dtype=float32)
    """

    @property
    @abc.abstractmethod
    def observation_spec(self) -> Any:
        """A nest of specs."""

    @property
    @abc.abstractmethod
    def action_spec(self) -> Any:
        """A nest of specs."""

    @property
    def reward_spec(self) -> specs.TensorSpec:
        """A float32 scalar."""
        return specs.TensorSpec((), np.float32, "reward")

    def time_step_spec(self) -> TimeStep:
        """Returns the TimeStep of specs that `init` and `step` answer with."""
        return trajectories.time_step_spec(self.observation_spec, self.reward_spec)

    @abc.abstractmethod
    def init(self, key: jax.Array) -> tuple[Any, TimeStep]:
        """Returns the state at the start of an episode, and its FIRST step.

        The state is a pytree of arrays and holds all randomness that later episodes need.

        Args:
          key: consumed.
        """

    @abc.abstractmethod
    def step(self, state: Any, action: Any) -> tuple[Any, TimeStep]:
        """Returns the state after the action, and what it led to.

        Args:
          state: from `init` or the step before; unchanged in structure, shape and dtype.
          action: as `action_spec` says; ignored if the step before was LAST.
        """

    def clipped_step(self, state: Any, action: Any) -> tuple[Any, TimeStep]:
        """Returns `step` of the action with its bounded float elements clipped to `action_spec`; pure."""
        return self.step(state, specs.clip_to_bounds(action, self.action_spec))


def cannot_remake(name: str) -> ConfigError:
    """Returns the error for an environment that exists once and cannot be made again."""
    return ConfigError(
        f"{name} cannot be made a second time",
        expected="a function that makes it, or a registered id",
        got="an instance",
        fix=f"lambda: {name}(), in place of the instance",
    )


def cannot_render(environment: Environment) -> EnvironmentFault:
    """Returns the error for an environment that has no render mode."""
    return EnvironmentFault(
        f"{type(environment).__name__} cannot be drawn",
        expected="a render_mode",
        got="None",
        fix="GymnasiumEnvironment.make(env_id, render_mode='rgb_array')",
    )
