"""Source: how recorded frames become the batches that an agent learns from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax

from jaxdaw import specs
from jaxdaw.errors import ConfigError
from jaxdaw.replay._pure_prioritized import PrioritizedState, PurePrioritizedReplay
from jaxdaw.replay._records import WindowIndices
from jaxdaw.replay._uniform import ReplayState, UniformReplay

Prepare = Callable[[Any], Any]
"""An agent's `prepare`, with its state: from recorded frames to what its `learn` reads."""

_GATHERED_AT_ONCE = 2**22
"""Bytes of a learning phase's batches up to which they are drawn together: one look-up is faster than many."""


class BatchSource(Protocol):
    """What an agent learns from: in each learning phase it gives `updates` batches.

    Unless `on_host`, every method is pure, and runs in compiled programs:

    ```python
    for x in source.batches(state, randomness, prepare):  # a scan over the leading axis
        experience, weights, drawn = source.batch(state, x, env_steps)
        agent_state, info = agent.update(agent_state, experience, weights)
        state = source.feedback(state, drawn, info.extra)
    ```
    """

    @property
    def updates(self) -> int:
        """K, batches in a learning phase."""
        ...

    @property
    def on_host(self) -> bool:
        """Whether the methods run in Python, on NumPy arrays and a mutable state, instead of in compiled programs."""
        ...

    def draw(self, key: jax.Array, phases: int) -> Any:
        """Returns the random numbers of several learning phases, leading axis `phases`."""
        ...

    def batches(self, state: Any, randomness: Any, prepare: Prepare) -> Any:
        """Returns what `batch` makes the batches of a learning phase from, leading axis K.

        Args:
          state: after the latest frame.
          randomness: one phase's entry of `draw`.
          prepare: the agent's, for sources whose batches are parts of one rollout.
        """
        ...

    def batch(self, state: Any, x: Any, env_steps: Any) -> tuple[Any, Any, Any]:
        """Returns a batch, the weights of its examples or None, and what `feedback` must know about the draw."""
        ...

    def feedback(self, state: Any, drawn: Any, extra: Any) -> Any:
        """Returns the state after the agent has learned from a batch, and reported `LossInfo.extra` about it."""
        ...


class Source(BatchSource, Protocol):
    """A batch source that grows by a frame of every environment at each step; all that a training loop knows of it."""

    @property
    def num_envs(self) -> int:
        """B, rows of the frames that are added."""
        ...

    @property
    def warm_up(self) -> int:
        """Steps in each environment before the first learning phase may begin."""
        ...

    @property
    def state_axes(self) -> Any:
        """The axes of `jax.vmap` for the states of a population that records in step."""
        ...

    def init(self) -> Any:
        """Returns the state without frames."""
        ...

    def add(self, state: Any, frames: Any) -> Any:
        """Returns the state with one more frame of every environment, leaves `[num_envs, ...]`."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class UniformSource:
    """Windows of a `UniformReplay`, each equally likely.

    Attributes:
      replay: where frames are kept.
      num_steps: frames in a window.
      batch_size: windows in a batch.
      updates: batches in a learning phase.
    """

    replay: UniformReplay
    num_steps: int
    batch_size: int
    updates: int
    on_host = False

    @property
    def num_envs(self) -> int:
        """B, rows of the frames that are added."""
        return self.replay.num_envs

    @property
    def warm_up(self) -> int:
        """Steps in each environment until a window is whole."""
        return self.num_steps

    @property
    def state_axes(self) -> ReplayState:
        """See `UniformReplay.state_axes`."""
        return self.replay.state_axes

    def init(self) -> ReplayState:
        """Returns the empty replay."""
        return self.replay.init()

    def add(self, state: ReplayState, frames: Any) -> ReplayState:
        """Returns the replay with one more frame of every environment."""
        return self.replay.add(state, frames)

    def draw(self, key: jax.Array, phases: int) -> jax.Array:
        """Returns random bits `[phases, K, batch_size]`, which select windows."""
        return jax.random.bits(key, (phases, self.updates, self.batch_size), jnp.uint32)

    def batches(self, state: ReplayState, randomness: jax.Array, prepare: Prepare) -> Any:
        """Returns the windows of all batches where they are small, and otherwise the bits that select them."""
        del prepare
        if self._bytes > _GATHERED_AT_ONCE:
            return randomness
        windows = self._windows(state, randomness.reshape(-1))
        return jax.tree.map(lambda x: x.reshape(*randomness.shape, *x.shape[1:]), windows)

    def batch(self, state: ReplayState, x: Any, env_steps: Any) -> tuple[Any, None, None]:
        """Returns one batch of windows `[batch_size, num_steps, ...]`."""
        del env_steps
        return (self._windows(state, x) if self._bytes > _GATHERED_AT_ONCE else x), None, None

    def feedback(self, state: ReplayState, drawn: None, extra: Any) -> ReplayState:
        """Returns the replay as it is: nothing that was learned changes what is drawn."""
        del drawn, extra
        return state

    def _windows(self, state: ReplayState, bits: jax.Array) -> Any:
        return self.replay.sample_from_bits(state, bits, self.num_steps)[0]

    @property
    def _bytes(self) -> int:
        leaves = specs.flatten(self.replay.frame_spec)
        frame = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
        return frame * self.num_steps * self.batch_size * self.updates


@dataclasses.dataclass(frozen=True, eq=False)
class PrioritizedSource:
    """Windows of a `PurePrioritizedReplay`, drawn by the temporal-difference errors that the agent reports.

    Attributes:
      replay: where frames are kept.
      batch_size: windows in a batch.
      updates: batches in a learning phase.
      importance_exponent: how far the weights correct the draw, in `[0, 1]`, after a number of environment steps.
    """

    replay: PurePrioritizedReplay
    batch_size: int
    updates: int
    importance_exponent: optax.Schedule
    on_host = False

    @property
    def num_envs(self) -> int:
        """B, rows of the frames that are added."""
        return self.replay.num_envs

    @property
    def warm_up(self) -> int:
        """Steps in each environment until a window is whole."""
        return self.replay.num_steps

    @property
    def state_axes(self) -> PrioritizedState:
        """See `PurePrioritizedReplay.state_axes`."""
        return self.replay.state_axes

    def init(self) -> PrioritizedState:
        """Returns the empty replay."""
        return self.replay.init()

    def add(self, state: PrioritizedState, frames: Any) -> PrioritizedState:
        """Returns the replay with one more frame of every environment, of the largest priority so far."""
        return self.replay.add(state, frames)

    def draw(self, key: jax.Array, phases: int) -> jax.Array:
        """Returns random bits `[phases, K, batch_size]`, which select windows."""
        return jax.random.bits(key, (phases, self.updates, self.batch_size), jnp.uint32)

    def batches(self, state: PrioritizedState, randomness: jax.Array, prepare: Prepare) -> jax.Array:
        """Returns the bits: each draw depends on what was learned from the one before."""
        del state, prepare
        return randomness

    def batch(self, state: PrioritizedState, x: jax.Array, env_steps: Any) -> tuple[Any, Any, WindowIndices]:
        """Returns one batch of windows, their importance weights, and where they begin."""
        experience, drawn = self.replay.sample_from_bits(state, x, self.importance_exponent(env_steps))
        return experience, drawn.weights, drawn.indices

    def feedback(self, state: PrioritizedState, drawn: WindowIndices, extra: Any) -> PrioritizedState:
        """Returns the replay with the priorities of a batch, made of the errors that the agent reports."""
        return self.replay.update_priorities(state, drawn, priorities_of(extra))


def priorities_of(extra: Any) -> jax.Array:
    """Returns the priorities of the rows of a batch, `[B]`, from what an agent reports about it.

    Of a sequence, as in Kapturowski et al. 2019, nine tenths of the largest error and one tenth of the mean.

    Raises:
      ConfigError: the agent reports no `td_error`.
    """
    errors = getattr(extra, "td_error", None)
    if errors is None:
        raise ConfigError(
            "this agent reports no temporal-difference errors, which a prioritized replay draws by",
            expected="LossInfo.extra.td_error, [B] or [B, T - 1]",
            got=type(extra).__name__,
            fix='LoopOptions(replay="uniform")',
        )
    sizes = jnp.abs(errors)
    return 0.9 * jnp.max(sizes, axis=1) + 0.1 * jnp.mean(sizes, axis=1) if sizes.ndim == 2 else sizes
