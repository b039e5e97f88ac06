"""HostReplay: a uniform replay in NumPy, for host loops and for frames too large for the device."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jaxdaw.errors import ConfigError, SpecError, StorageError
from jaxdaw.replay import _limits
from jaxdaw.replay._frames import FrameLayout
from jaxdaw.replay._records import ReplaySample, WindowIndices


@dataclasses.dataclass(frozen=True)
class FrameStack:
    """Images that are stored once, one frame each, and stacked when they are drawn.

    A frame comes back as the `size` newest images of its episode, joined along the last axis, the oldest first:
    `(84, 84, 1)` becomes `(84, 84, size)`. Where an episode is younger than that, its first image is repeated, as
    `gymnasium.wrappers.FrameStackObservation` does by default; nothing of an earlier episode is ever seen. The first
    frame that a replay is given counts as the start of an episode.

    For an environment that stacks by itself, add the newest image alone: `observation[..., -1:]`.

    Attributes:
      size: images in a stack, at least 1.
      images: selects from a nest like the frame spec the leaves to stack.
      is_first: says for a row of frames, leaves `[num_envs, ...]`, which of them open an episode: `[num_envs]` bool.

    Examples:
      >>> stack = FrameStack(4, images=lambda frame: frame.observation, is_first=lambda frame: frame.step_type == 0)
    """

    size: int
    images: Callable[[Any], Any]
    is_first: Callable[[Any], np.ndarray]

    def leaves(self, layout: FrameLayout) -> set[int]:
        """Returns which leaves of the layout are stacked.

        Raises:
          ConfigError: the size is below 1, or a selected leaf has no axis to join along.
        """
        selected = set(jax.tree.leaves(self.images(layout.nest(range(len(layout.leaves))))))
        flat = [layout.paths[leaf] for leaf in selected if not layout.leaves[leaf].shape]
        if self.size < 1 or flat:
            raise ConfigError(
                "FrameStack cannot stack",
                expected="size of at least 1, and leaves with an axis for the channels",
                got=f"size {self.size}, leaves without axes: {flat}",
            )
        return selected


class HostReplay:
    """Windows of consecutive frames of one environment, each equally likely, in NumPy.

    A step's number since construction is its name: `indices.time` counts up and is never reused. No window crosses the
    write cursor; episodes are not looked at, see `UniformReplay`.

    One thread writes. A second one that writes at the same moment gets a `StorageError`, and so does a callback that
    writes from inside a write; processes do not share a replay. Sample from the writing thread, or stop it meanwhile:
    reading takes no lock.

    Args:
      frame_spec: a nest of `TensorSpec`, one frame without batch dimensions, as it is stored.
      capacity: frames in all. Each environment gets `capacity // num_envs` steps; a remainder is not used.
      num_envs: environments that write together, one frame each a step.
      frame_stack: images to store once and stack when drawn. Once the ring has wrapped, the `size - 1` oldest steps
        serve only as history: no window starts there.
      memory_limit_bytes: what the storage may take; None: what the machine has free.

    Raises:
      ConfigError: fewer than two steps for an environment, or more bytes than allowed.
      SpecError: `frame_spec` holds something other than specs.

    Examples:
      >>> import numpy as np
      >>> from jaxdaw.specs import TensorSpec
      >>> replay = HostReplay({"reward": TensorSpec((), np.float32)}, capacity=4)
      >>> for reward in (1.0, 2.0):
      ...     replay.add({"reward": np.array([reward], np.float32)})
      >>> experience, info = replay.sample(batch_size=1, num_steps=2, generator=np.random.default_rng(0))
      >>> experience["reward"]
      array([[1., 2.]], dtype=float32)
    """

    def __init__(
        self,
        frame_spec: Any,
        capacity: int,
        num_envs: int = 1,
        *,
        frame_stack: FrameStack | None = None,
        memory_limit_bytes: int | None = None,
    ):
        self.frame_spec = frame_spec
        self.capacity = capacity
        self.num_envs = num_envs
        self.length = _limits.ring_length(capacity, num_envs)
        self._layout = FrameLayout.of(frame_spec)
        free = _limits.free_host_bytes() if memory_limit_bytes is None else memory_limit_bytes
        _limits.require_memory(self._layout.frame_bytes * self.length * num_envs, free, capacity)

        self._frame_stack = frame_stack
        self._stacked = frame_stack.leaves(self._layout) if frame_stack else set()
        # How many earlier images of its episode each frame may be stacked with; all 0 without a stack.
        self._max_history = frame_stack.size - 1 if frame_stack else 0
        self._history = np.zeros((self.length, num_envs), np.int32)
        self._rings = [np.zeros((self.length, num_envs, *leaf.shape), leaf.dtype) for leaf in self._layout.leaves]
        self._signature = [(ring.dtype, ring.shape[1:]) for ring in self._rings]
        self._origin = 0  # The step number of the first frame since the last clear().
        self._end = 0  # The step number that is written next.
        self._writer = _OneWriter()

    @property
    def times(self) -> range:
        """The numbers of the steps that are held, oldest first."""
        return range(max(self._origin, self._end - self.length), self._end)

    @property
    def size(self) -> int:
        """Steps held for each environment."""
        return len(self.times)

    def window_starts(self, num_steps: int) -> range:
        """The numbers of the steps at which a window of `num_steps` frames may start.

        Raises:
          ConfigError: `num_steps` is longer than the ring.
        """
        _limits.require_window(num_steps, self.length - self._max_history)
        held = self.times
        oldest = held.start + (self._max_history if held.start > self._origin else 0)
        return range(oldest, max(oldest, held.stop - num_steps + 1))

    def num_windows(self, num_steps: int) -> int:
        """Returns how many windows of `num_steps` frames are held."""
        return len(self.window_starts(num_steps)) * self.num_envs

    def can_sample(self, num_steps: int) -> bool:
        """Returns whether a window of `num_steps` frames is held."""
        return self.num_windows(num_steps) > 0

    def add(self, frames: Any) -> None:
        """Adds one frame of every environment; when full, the oldest ones are replaced. Values are copied.

        Args:
          frames: the nest of `frame_spec` with leaves `[num_envs, ...]`.

        Raises:
          SpecError: the frames do not match; nothing is written.
          StorageError: another thread is writing.
        """
        with self._writer:
            leaves, structure = jax.tree_util.tree_flatten(frames)
            # Fast path for the usual case, about a microsecond. Everything else goes through the full check.
            signature = [(getattr(leaf, "dtype", None), getattr(leaf, "shape", None)) for leaf in leaves]
            if signature != self._signature or structure != self._layout.structure:
                leaves = self._layout.flatten(frames, self.num_envs)
            row = self._end % self.length
            if self._frame_stack:
                self._history[row] = self._next_history(self._frame_stack.is_first(frames))
            for ring, leaf in zip(self._rings, leaves):
                ring[row] = leaf
            self._end += 1

    def sample(self, batch_size: int, num_steps: int, generator: np.random.Generator) -> tuple[Any, ReplaySample]:
        """Returns a batch of windows, drawn independently and with replacement.

        Returns:
          The nest of `frame_spec` with leaves `[batch_size, num_steps, ...]` in arrays of their own, and how it was
          drawn.

        Raises:
          ConfigError: `num_steps` is longer than the ring, or the batch is empty.
          StorageError: fewer windows than the batch has rows.
        """
        starts = self.window_starts(num_steps)
        num_windows = len(starts) * self.num_envs
        _limits.require_windows(num_windows, batch_size, num_steps)
        window = generator.integers(num_windows, size=batch_size)
        indices = WindowIndices(env=window % self.num_envs, time=starts.start + window // self.num_envs)
        probabilities = np.full(batch_size, 1 / num_windows, np.float32)
        return self.gather(indices, num_steps), ReplaySample(indices, probabilities)

    def gather(self, indices: WindowIndices, num_steps: int) -> Any:
        """Returns the windows of `num_steps` frames that start at these indices, leaves `[batch, num_steps, ...]`.

        Raises:
          StorageError: a window is not held: overwritten, cleared or not complete.
        """
        starts = self.window_starts(num_steps)
        time, env = np.asarray(indices.time), np.asarray(indices.env)
        missing = np.flatnonzero((time < starts.start) | (time >= starts.stop) | (env < 0) | (env >= self.num_envs))
        if missing.size:
            raise StorageError(
                f"a window of {num_steps} frames is not held",
                expected=f"time in {starts.start}..{starts.stop - 1}, env in 0..{self.num_envs - 1}",
                got=f"time {time[missing[0]]}, env {env[missing[0]]} at row {missing[0]}",
                cause="the ring has overwritten it since the indices were drawn.",
            )
        times, envs = time[:, None] + np.arange(num_steps), env[:, None]
        rows = self._rows(times, envs)
        leaves = [_take(ring, rows) for ring in self._rings]
        if self._stacked:
            history = _take(self._history, rows)
            stack_rows = [
                self._rows(times - np.minimum(age, history), envs) for age in range(self._max_history, -1, -1)
            ]
            for leaf in self._stacked:
                leaves[leaf] = np.concatenate([_take(self._rings[leaf], rows) for rows in stack_rows], axis=-1)
        return self._layout.nest(leaves)

    def clear(self) -> None:
        """Removes every frame. Step numbers continue, so indices drawn before are no longer valid."""
        with self._writer:
            self._origin = self._end

    def state_dict(self) -> dict[str, np.ndarray]:
        """Returns copies of all that `load_state_dict` needs: the held frames, oldest first, and the counters.

        The keys are `frames` with the leaf's path, `history`, `origin`, `end` and `length`. Rows that hold nothing are
        left out. The generator is the caller's to save.
        """
        rows = np.arange(self.times.start, self.times.stop) % self.length
        counters = {"origin": self._origin, "end": self._end, "length": self.length}
        saved = {name: np.array(value, np.int64) for name, value in counters.items()}
        return saved | {name: ring[rows] for name, ring in self._named_rings()}

    def load_state_dict(self, saved: Mapping[str, np.ndarray]) -> None:
        """Restores what `state_dict` returned; an equal generator then draws equal windows.

        Raises:
          StorageError: other keys, shapes, dtypes or ring length, or counters that contradict them; nothing is changed.
        """
        with self._writer:
            saved = {name: np.asarray(value) for name, value in saved.items()}
            origin, end = self._check_saved(saved)
            times = np.arange(max(origin, end - self.length), end)
            for name, ring in self._named_rings():
                ring[times % self.length] = saved[name]
            self._origin, self._end = origin, end

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns everything held, in arrays of fixed shapes: the whole rings, not copied, and the counters."""
        counters = {"origin": np.int64(self._origin), "end": np.int64(self._end)}
        return {name: np.asarray(value) for name, value in counters.items()} | dict(self._named_rings())

    def load_arrays(self, saved: Mapping[str, Any]) -> None:
        """Restores what `arrays` returned; the arrays are copied.

        Raises:
          StorageError: other shapes or dtypes, or counters that contradict them; nothing is changed.
        """
        origin, end = int(saved["origin"]), int(saved["end"])
        rows = np.arange(max(origin, end - self.length), end) % self.length
        counters = {"origin": saved["origin"], "end": saved["end"], "length": np.int64(self.length)}
        self.load_state_dict(counters | {name: np.asarray(saved[name])[rows] for name, _ in self._named_rings()})

    def _rows(self, times: np.ndarray, envs: np.ndarray) -> np.ndarray:
        """Returns the positions of these steps and environments in a ring flattened over both axes."""
        return times % self.length * self.num_envs + envs

    def _next_history(self, is_first: np.ndarray) -> np.ndarray | int:
        """Returns how many earlier images each frame to be written may be stacked with, `[num_envs]`."""
        if np.shape(is_first) != (self.num_envs,):
            raise SpecError(
                "FrameStack.is_first gave another shape",
                expected=f"({self.num_envs},)",
                got=str(np.shape(is_first)),
            )
        if self._end == self._origin:
            return 0
        before = self._history[(self._end - 1) % self.length]
        return np.where(is_first, 0, np.minimum(before + 1, self._max_history))

    def _named_rings(self) -> list[tuple[str, np.ndarray]]:
        """The arrays `[length, num_envs, ...]` by the names under which they are saved."""
        return [("history", self._history)] + [
            (f"frames{path}", ring) for path, ring in zip(self._layout.paths, self._rings, strict=True)
        ]

    def _check_saved(self, saved: Mapping[str, np.ndarray]) -> tuple[int, int]:
        """Returns origin and end of a state that this replay can hold; raises `StorageError` otherwise."""
        counters = ("origin", "end", "length")
        rings = dict(self._named_rings())
        if saved.keys() != rings.keys() | set(counters):
            differing = sorted(saved.keys() ^ (rings.keys() | set(counters)))
            raise StorageError(f"saved replay has other entries than this one: {differing[:3]}")
        if any(saved[name].shape or saved[name].dtype.kind != "i" for name in counters):
            raise StorageError("saved replay has a counter that is no integer", expected="int64 ()")
        origin, end, length = (int(saved[name]) for name in counters)
        if length != self.length or not 0 <= origin <= end:
            raise StorageError(
                "saved replay does not fit into this one",
                expected=f"length {self.length}, 0 <= origin <= end",
                got=f"length {length}, origin {origin}, end {end}",
                cause="another capacity or number of environments.",
            )
        times = np.arange(max(origin, end - length), end)
        for name, ring in rings.items():
            expected = (times.size, *ring.shape[1:])
            if saved[name].shape != expected or saved[name].dtype != ring.dtype:
                raise StorageError(
                    f"saved replay does not match at {name}",
                    expected=f"{ring.dtype} {expected}",
                    got=f"{saved[name].dtype} {saved[name].shape}",
                )
        limit = np.minimum(times - origin, self._max_history)[:, None]
        if not np.all((saved["history"] >= 0) & (saved["history"] <= limit)):
            raise StorageError("saved replay stacks images from before its first frame")
        return origin, end


def _take(ring: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`[length, num_envs, ...]`, rows `[batch, T]` -> `[batch, T, ...]`, a copy."""
    return ring.reshape(-1, *ring.shape[2:]).take(rows, axis=0)


class _OneWriter:
    """Lock that raises instead of waiting: a second writer would interleave two streams in one ring."""

    def __init__(self):
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise StorageError(
                "two writers at once: this replay is being written",
                cause="two threads call add(), clear() or load_state_dict().",
                fix="give each thread a replay of its own, or pass frames through a queue.Queue to one writer",
            )

    def __exit__(self, *_: object) -> None:
        self._lock.release()
