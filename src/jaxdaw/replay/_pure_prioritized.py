"""PurePrioritizedReplay: proportional prioritized replay on the device, as pure functions over a state."""

from __future__ import annotations

import dataclasses
import functools
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdaw.errors import ConfigError
from jaxdaw.replay import _limits
from jaxdaw.replay._pure_sum_tree import Levels, PureSumTree
from jaxdaw.replay._records import ReplaySample, WindowIndices
from jaxdaw.replay._uniform import ReplayState, UniformReplay, free_device_bytes, require_bits

_LEAST_PRIORITY = 1e-6
"""Added to each priority, as in the paper: a window without error may still be drawn, and no total is 0."""


class PrioritizedState(NamedTuple):
    """The contents of a `PurePrioritizedReplay`.

    Attributes:
      ring: the frames.
      tree: `priority ** alpha` of every window by its first frame, and their sums; 0 where no window starts.
      highest: `[]` float32, the largest `priority ** alpha` ever given, which new windows get; 1 before any.
    """

    ring: ReplayState
    tree: Levels
    highest: jax.Array


@dataclasses.dataclass(frozen=True, eq=False)
class PurePrioritizedReplay:
    """Windows drawn in proportion to `priority ** alpha`. Pure; the state stands apart.

    What `UniformReplay` is to `HostReplay`, this is to `PrioritizedReplay`: for `scan`, `vmap` and compiled loops. A
    window gets the largest priority ever given when its last frame is added, so that it is soon drawn. Draws are
    stratified and weights are normalised by the largest of the batch, as there.

    Two replays with equal arguments are equal and hash alike, so a replay may be a static argument of `jax.jit`.

    Args:
      frame_spec: a nest of `TensorSpec`, one frame without batch dimensions.
      capacity: frames in all. Each environment gets `capacity // num_envs` steps.
      num_envs: environments that write together, one frame each a step.
      num_steps: consecutive frames in a window.
      alpha: in `[0, 1]`; 0 draws uniformly.
      memory_limit_bytes: what frames and priorities may take; None: what the device (or the host, on a CPU) has free.

    Raises:
      ConfigError: `alpha` or `num_steps` out of range, or what `UniformReplay` raises.
      SpecError: `frame_spec` holds something other than specs.

    Source: Schaul et al. 2016, "Prioritized experience replay", section 3.3 and appendix B.2.1.

    Examples:
      >>> import jax, jax.numpy as jnp, numpy as np
      >>> from jaxdaw.specs import TensorSpec
      >>> replay = PurePrioritizedReplay({"reward": TensorSpec((), np.float32)}, capacity=4, num_steps=1, alpha=1.0)
      >>> state = replay.init()
      >>> for reward in (1.0, 2.0):
      ...     state = replay.add(state, {"reward": jnp.array([reward])})
      >>> _, info = replay.sample(state, jax.random.key(0), batch_size=2, beta=1.0)
      >>> state = replay.update_priorities(state, info.indices, jnp.array([3.0, 1.0]))
      >>> experience, info = replay.sample(state, jax.random.key(1), batch_size=4, beta=1.0)
      >>> experience["reward"][:, 0]
      Array([1., 1., 1., 2.], dtype=float32)
    """

    frame_spec: Any
    capacity: int
    num_envs: int = 1
    num_steps: int = 2
    alpha: float = 0.6
    memory_limit_bytes: dataclasses.InitVar[int | None] = None

    def __post_init__(self, memory_limit_bytes: int | None) -> None:
        if not 0 <= self.alpha <= 1:
            raise ConfigError("alpha is out of range", expected="0 to 1", got=str(self.alpha))
        _limits.require_window(self.num_steps, self.length)
        free = free_device_bytes() if memory_limit_bytes is None else memory_limit_bytes
        left = None if free is None else max(free - self._tree.num_bytes, 0)
        UniformReplay(self.frame_spec, self.capacity, self.num_envs, left)  # checks the rest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PurePrioritizedReplay) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[Any, ...]:
        return self._ring, self.num_steps, self.alpha

    @functools.cached_property
    def length(self) -> int:
        """Steps held for each environment, `capacity // num_envs`."""
        return _limits.ring_length(self.capacity, self.num_envs)

    @functools.cached_property
    def _ring(self) -> UniformReplay:
        return UniformReplay(self.frame_spec, self.capacity, self.num_envs, sys.maxsize)

    @functools.cached_property
    def _tree(self) -> PureSumTree:
        return PureSumTree(self.length * self.num_envs)

    @property
    def state_axes(self) -> PrioritizedState:
        """The axes of `jax.vmap` for the states of a population that writes in step: one cursor for all."""
        return PrioritizedState(self._ring.state_axes, 0, 0)  # pyright: ignore[reportArgumentType]

    def init(self) -> PrioritizedState:
        """Returns the empty state."""
        return PrioritizedState(self._ring.init(), self._tree.init(), jnp.ones((), jnp.float32))

    def add(self, state: PrioritizedState, frames: Any) -> PrioritizedState:
        """Returns the state with one more frame of every environment, and the windows that they complete.

        Donate the state, and in a `lax.scan` add before sampling: see `UniformReplay.add`.

        Args:
          state: what `init`, `add` or `update_priorities` returned.
          frames: the nest of `frame_spec` with leaves `[num_envs, ...]`.

        Raises:
          SpecError: the frames do not match.
        """
        ring = self._ring.add(state.ring, frames)
        # The row that is written starts no window yet; the one whose window is now complete does. Before any is, that
        # row lies in the empty part of the ring, and stays 0.
        first = (state.ring.cursor - (self.num_steps - 1)) % self.length
        opened = jnp.where(ring.size >= self.num_steps, state.highest, 0.0)
        env = jnp.arange(self.num_envs, dtype=jnp.int32)
        leaves, values = first * self.num_envs + env, jnp.broadcast_to(opened, env.shape)
        if self.num_steps > 1:
            leaves = jnp.concatenate([leaves, state.ring.cursor * self.num_envs + env])
            values = jnp.concatenate([values, jnp.zeros(env.shape)])
        tree = self._tree.set(state.tree, leaves, values)
        return PrioritizedState(ring, tree, state.highest)

    def num_windows(self, state: PrioritizedState) -> jax.Array:
        """Returns how many windows are held, `[]` int32."""
        return self._ring.num_windows(state.ring, self.num_steps)

    def can_sample(self, state: PrioritizedState) -> jax.Array:
        """Returns whether a window is held, `[]` bool, traced."""
        return self._ring.can_sample(state.ring, self.num_steps)

    def check_can_sample(self, state: PrioritizedState, batch_size: int) -> None:
        """Raises unless the replay holds as many windows as the batch has rows. For the host: waits for the device.

        Raises:
          ConfigError: the batch is empty.
          StorageError: too few windows yet.
        """
        self._ring.check_can_sample(state.ring, batch_size, self.num_steps)

    def sample(
        self, state: PrioritizedState, key: jax.Array, batch_size: int, beta: jax.typing.ArrayLike
    ) -> tuple[Any, ReplaySample]:
        """Returns a batch of windows, drawn in proportion to their priorities, with replacement.

        Args:
          state: must hold a window (`can_sample`): this cannot be checked under a trace.
          key: consumed.
          batch_size: rows.
          beta: in `[0, 1]`, how far the weights correct the draw; commonly annealed to 1. May be traced.

        Returns:
          The nest of `frame_spec` with leaves `[batch_size, num_steps, ...]`, and how it was drawn: hand
          `info.indices` to `update_priorities`, and `info.weights`, `(N p)^-beta / max`, to the loss.
        """
        return self.sample_from_bits(state, jax.random.bits(key, (batch_size,), jnp.uint32), beta)

    def sample_from_bits(
        self, state: PrioritizedState, bits: jax.Array, beta: jax.typing.ArrayLike
    ) -> tuple[Any, ReplaySample]:
        """Returns the windows that random bits select, for callers that draw bits in bulk. See `sample`.

        Positions are float32: a window's chance is off by at most a factor of its share of `2**-24`, 6 % where all of
        a million windows have the same priority, 0.6 % at a hundred thousand.

        Args:
          state: as in `sample`.
          bits: `[batch]` uint32, uniform; row i selects in the i-th of `batch` equal parts of the total.
          beta: as in `sample`.

        Raises:
          SpecTypeError: the bits are not uint32, or not one row.
        """
        require_bits(bits)
        batch_size = bits.shape[0]
        uniform = (bits >> 8).astype(jnp.float32) * 2.0**-24  # float32 has 24 significant bits
        strata = (jnp.arange(batch_size, dtype=jnp.float32) + uniform) / batch_size
        total = self._tree.total(state.tree)
        leaves, values = self._tree.find(state.tree, strata * total)
        # Divided by the largest weight, that of the smallest value, N cancels; the ratio cannot overflow.
        weights = (jnp.min(values) / values) ** jnp.asarray(beta, jnp.float32)
        indices = WindowIndices(env=leaves % self.num_envs, time=leaves // self.num_envs)
        return self._ring.gather(state.ring, indices, self.num_steps), ReplaySample(indices, values / total, weights)

    def update_priorities(
        self, state: PrioritizedState, indices: WindowIndices, priorities: jax.Array
    ) -> PrioritizedState:
        """Returns the state with new priorities of windows that were drawn; for draws since the last `add`.

        Ring rows are reused: after an `add` a row may hold another frame than the one that was drawn.

        Args:
          state: which the draw was made from.
          indices: `info.indices` of a draw, `[n]` each. Of a window that is given twice, one priority counts.
          priorities: `[n]`, at least 0, commonly `|td error|`; 1e-6 is added. One that is not finite counts as 0: its
            window taught nothing, and is to be drawn no sooner for that.
        """
        finite = jnp.where(jnp.isfinite(priorities), priorities, 0.0).astype(jnp.float32)
        values = (finite + _LEAST_PRIORITY) ** self.alpha
        leaves = jnp.asarray(indices.time) * self.num_envs + jnp.asarray(indices.env)
        tree = self._tree.set(state.tree, leaves, values)
        return PrioritizedState(state.ring, tree, jnp.maximum(state.highest, jnp.max(values)))
