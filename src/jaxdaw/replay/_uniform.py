"""UniformReplay: a uniform replay on the device, as pure functions over a state."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxdaw import specs
from jaxdaw.errors import ConfigError, SpecTypeError
from jaxdaw.replay import _limits
from jaxdaw.replay._frames import FrameLayout
from jaxdaw.replay._packing import Packing
from jaxdaw.replay._records import ReplaySample, WindowIndices

_MAX_FRAMES = 2**31 - 1  # Row numbers are int32.


class ReplayState(NamedTuple):
    """The contents of a `UniformReplay`.

    Attributes:
      storage: arrays `[length, num_envs, ...]`: the small leaves as uint32 words, then each large leaf.
      cursor: `[]` int32 in `0..length-1`, the row that is written next; when full, the row of the oldest frame.
      size: `[]` int32 in `0..length`, steps held for each environment.
    """

    storage: tuple[jax.Array, ...]
    cursor: jax.Array
    size: jax.Array


@dataclasses.dataclass(frozen=True, eq=False)
class UniformReplay:
    """Windows of consecutive frames of one environment, each equally likely. Pure; the state stands apart.

    No window crosses the write cursor: when the ring is full the oldest frame is at the cursor and windows count from
    there. Episodes are not looked at: a window may hold LAST, then FIRST, and losses mask that frame. What is stored
    is a record: no gradient passes.

    Two replays with equal arguments are equal and hash alike, so a replay may be a static argument of `jax.jit`.

    Args:
      frame_spec: a nest of `TensorSpec`, one frame without batch dimensions. 64-bit leaves need `jax_enable_x64`, and
        are 32-bit without it, as everywhere in JAX.
      capacity: frames in all. Each environment gets `capacity // num_envs` steps; a remainder is not used.
      num_envs: environments that write together, one frame each a step.
      memory_limit_bytes: what the storage may take; None: what the device (or the host, on a CPU) has free. A
        replay under `jax.vmap` takes this once for every member, which is not known here.

    Raises:
      ConfigError: fewer than two steps for an environment, more than 2**31 - 1 frames, or more bytes than allowed.
      SpecError: `frame_spec` holds something other than specs.

    Examples:
      >>> import jax, jax.numpy as jnp, numpy as np
      >>> from jaxdaw.specs import TensorSpec
      >>> replay = UniformReplay({"reward": TensorSpec((), np.float32)}, capacity=4)
      >>> state = replay.init()
      >>> for reward in (1.0, 2.0):
      ...     state = replay.add(state, {"reward": jnp.array([reward])})
      >>> experience, info = replay.sample(state, jax.random.key(0), batch_size=1, num_steps=2)
      >>> experience["reward"]
      Array([[1., 2.]], dtype=float32)
    """

    frame_spec: Any
    capacity: int
    num_envs: int = 1
    memory_limit_bytes: dataclasses.InitVar[int | None] = None

    def __post_init__(self, memory_limit_bytes: int | None) -> None:
        frame_bytes = sum(math.prod(shape) * dtype.itemsize for shape, dtype in self._packing.rows)
        free = free_device_bytes() if memory_limit_bytes is None else memory_limit_bytes
        _limits.require_memory(frame_bytes * self.length * self.num_envs, free, self.capacity)
        if self.capacity > _MAX_FRAMES:
            raise ConfigError("capacity is out of range", expected=f"at most {_MAX_FRAMES}", got=str(self.capacity))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UniformReplay) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @functools.cached_property
    def length(self) -> int:
        """Steps held for each environment, `capacity // num_envs`."""
        return _limits.ring_length(self.capacity, self.num_envs)

    @functools.cached_property
    def _layout(self) -> FrameLayout:
        return FrameLayout.of(self.frame_spec)

    @functools.cached_property
    def _packing(self) -> Packing:
        return Packing.of(jax.tree.leaves(specs.to_shape_dtype_struct(self._layout.frame_spec)))

    @property
    def state_axes(self) -> ReplayState:
        """The axes of `jax.vmap` for the states of a population that writes in step: one cursor for all, see `add`."""
        return ReplayState(0, None, None)  # pyright: ignore[reportArgumentType]

    @property
    def _identity(self) -> tuple[Any, ...]:
        return self._layout, self._packing, self.capacity, self.num_envs

    def init(self) -> ReplayState:
        """Returns the empty state. Its cursor depends on nothing, so under `jax.vmap` it stays unbatched."""
        storage = tuple(jnp.zeros((self.length, self.num_envs, *shape), dtype) for shape, dtype in self._packing.rows)
        return ReplayState(storage, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))

    def add(self, state: ReplayState, frames: Any) -> ReplayState:
        """Returns the state with one more frame of every environment; when full, the oldest ones are replaced.

        Donate the state: an undonated call copies the ring. In a `lax.scan` on a CPU, add first and sample from the
        result: that takes microseconds, while sampling the old state and then adding keeps both alive, and XLA copies
        the whole ring every step (3 against 3,700 us at a million rows).

        For many seeds keep one cursor for all, and the write stays one contiguous update instead of a scatter:
        `jax.vmap(replay.add, in_axes=(replay.state_axes, 0), out_axes=replay.state_axes)`. A `scan` inside a `vmap`
        keeps it by itself, when `init` is called inside.

        Args:
          state: what `init` or `add` returned.
          frames: the nest of `frame_spec` with leaves `[num_envs, ...]`.

        Raises:
          SpecError: the frames do not match; nothing is written, and no device waits.
        """
        rows = lax.stop_gradient(self._packing.pack(self._layout.flatten(frames, self.num_envs)))
        storage = tuple(_row_writer(0)(ring, row, state.cursor) for ring, row in zip(state.storage, rows, strict=True))
        cursor = jnp.where(state.cursor + 1 == self.length, 0, state.cursor + 1)
        return ReplayState(storage, cursor, jnp.minimum(state.size + 1, self.length))

    def num_windows(self, state: ReplayState, num_steps: int) -> jax.Array:
        """Returns how many windows of `num_steps` frames are held, `[]` int32."""
        _limits.require_window(num_steps, self.length)
        return jnp.maximum(state.size - (num_steps - 1), 0) * self.num_envs

    def can_sample(self, state: ReplayState, num_steps: int) -> jax.Array:
        """Returns whether a window of `num_steps` frames is held, `[]` bool, traced."""
        return self.num_windows(state, num_steps) > 0

    def check_can_sample(self, state: ReplayState, batch_size: int, num_steps: int) -> None:
        """Raises unless the replay holds as many windows as the batch has rows. For the host: waits for the device.

        Raises:
          ConfigError: `num_steps` is longer than the ring, or the batch is empty.
          StorageError: too few windows yet.
        """
        _limits.require_window(num_steps, self.length)
        available = max(int(state.size) - (num_steps - 1), 0) * self.num_envs
        _limits.require_windows(available, batch_size, num_steps)

    def sample(self, state: ReplayState, key: jax.Array, batch_size: int, num_steps: int) -> tuple[Any, ReplaySample]:
        """Returns a batch of windows, drawn independently and with replacement.

        In a `lax.scan` sample from the state that `add` returned, see there; and where the key splits cost more than
        the draw, take `jax.random.bits` for many steps at once and call `sample_from_bits`.

        Args:
          state: must hold a window (`can_sample`): this cannot be checked under a trace, and an empty ring gives zeros.
          key: consumed.
          batch_size: rows.
          num_steps: consecutive frames in a row.

        Returns:
          The nest of `frame_spec` with leaves `[batch_size, num_steps, ...]`, and how it was drawn.

        Raises:
          ConfigError: `num_steps` is longer than the ring.
        """
        return self.sample_from_bits(state, jax.random.bits(key, (batch_size,), jnp.uint32), num_steps)

    def sample_from_bits(self, state: ReplayState, bits: jax.Array, num_steps: int) -> tuple[Any, ReplaySample]:
        """Returns the windows that random bits select, for callers that draw bits in bulk. See `sample`.

        Window number `bits % num_windows` is taken. The bias is that of a remainder: a window's chance is off by at
        most a factor of `num_windows / 2**32`, 0.02 % at a million windows.

        Args:
          state: as in `sample`.
          bits: `[batch]` uint32, uniform. Window 0 starts at the oldest frame of environment 0, the next at that of 1.
          num_steps: consecutive frames in a row.

        Raises:
          SpecTypeError: the bits are not uint32 (a signed remainder may be negative), or not one row.
        """
        require_bits(bits)
        count = jnp.maximum(self.num_windows(state, num_steps), 1)
        window = (bits % count.astype(jnp.uint32)).astype(jnp.int32)
        env = window % self.num_envs
        # Row of the first frame before wrapping: from -length (oldest frame of a full ring) to cursor - num_steps.
        first = state.cursor - state.size + window // self.num_envs
        first = jnp.where(first < 0, first + self.length, first)
        probabilities = jnp.full(bits.shape, 1.0 / count.astype(jnp.float32))
        indices = WindowIndices(env, first)
        return self.gather(state, indices, num_steps), ReplaySample(indices, probabilities)

    def gather(self, state: ReplayState, indices: WindowIndices, num_steps: int) -> Any:
        """Returns the windows of `num_steps` frames that start at these indices, leaves `[batch, num_steps, ...]`.

        Windows that are not held, because they were overwritten or are not complete, cannot be told under a trace.
        """
        time = jnp.asarray(indices.time)[:, None] + jnp.arange(num_steps, dtype=jnp.int32)
        time = jnp.where(time >= self.length, time - self.length, time)
        rows = time * self.num_envs + jnp.asarray(indices.env)[:, None]
        return self._layout.nest(self._packing.unpack([_gather(ring, rows) for ring in state.storage]))


def _gather(ring: jax.Array, rows: jax.Array) -> jax.Array:
    """`[length, num_envs, ...]`, `[batch, T]` -> `[batch, T, ...]`. The rows lie in the ring by construction."""
    return ring.reshape(-1, *ring.shape[2:]).at[rows].get(mode="promise_in_bounds")


@functools.cache
def _row_writer(axis: int) -> Callable[[jax.Array, jax.Array, jax.Array], jax.Array]:
    """Returns `write(ring, row, cursor)` for rings whose time axis is `axis`.

    JAX batches `dynamic_update_slice` into a scatter, even where all members write at the same index. This keeps it a
    slice update then, one axis further in; with a cursor for each member it is the scatter that it must be.
    """

    def update(ring: jax.Array, row: jax.Array, cursor: jax.Array) -> jax.Array:
        return lax.dynamic_update_index_in_dim(ring, row, cursor, axis)

    write = jax.custom_batching.custom_vmap(update)

    @write.def_vmap
    def _(axis_size: int, batched: list[bool], ring: jax.Array, row: jax.Array, cursor: jax.Array):
        ring_batched, row_batched, cursor_batched = batched
        if cursor_batched:
            return jax.vmap(update, [0 if is_batched else None for is_batched in batched])(ring, row, cursor), True
        ring = ring if ring_batched else jnp.broadcast_to(ring, (axis_size, *ring.shape))
        row = row if row_batched else jnp.broadcast_to(row, (axis_size, *row.shape))
        return _row_writer(axis + 1)(ring, row, cursor), True

    return write


def require_bits(bits: jax.Array) -> None:
    """Raises `SpecTypeError` unless the bits are one row of unsigned words: a signed remainder may be negative."""
    if bits.dtype != jnp.uint32 or bits.ndim != 1:
        raise SpecTypeError(
            "bits are not one row of unsigned words",
            expected="uint32 (batch,)",
            got=f"{bits.dtype} {bits.shape}",
            fix="jax.random.bits(key, (batch,), jnp.uint32)",
        )


def free_device_bytes() -> int | None:
    """Returns the bytes free on the default device, or on the host if the device shares its memory."""
    memory = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in memory:
        return memory["bytes_limit"] - memory["bytes_in_use"]
    return _limits.free_host_bytes()
