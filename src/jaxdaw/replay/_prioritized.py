"""PrioritizedReplay: proportional prioritized replay in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxdaw.errors import ConfigError, SpecError, StorageError
from jaxdaw.replay import _limits
from jaxdaw.replay._frames import FrameLayout
from jaxdaw.replay._host import FrameStack, HostReplay
from jaxdaw.replay._records import ReplaySample, WindowIndices
from jaxdaw.replay._sum_tree import SumTree

# Temporal-difference errors are float32. Up to this, the sum of any number of priorities is finite in float64.
_MAX_PRIORITY = float(np.finfo(np.float32).max)

# float64 for each frame: its priority, and its share of a binary tree with as many leaves as the next power of two.
_PRIORITY_BYTES = 8 * (1 + 2 * 2)


class PrioritizedReplay:
    """Windows drawn in proportion to `priority ** alpha` of their first frame.

    A new frame gets the largest priority ever given (1 before any), so that it is soon drawn. Windows that would cross
    the write cursor have probability 0. Draws are stratified as in the paper: the total is cut into `batch_size`
    equal parts and one position drawn in each, so a batch is ordered by ring position, and its rows together (not each
    row alone) follow the priorities.

    Differs from the paper: weights are normalised by the largest of the batch, not of the buffer, as Dopamine does,
    which needs no second tree.

    Threads, step numbers and `frame_stack` are as in `HostReplay`.

    Args:
      frame_spec: a nest of `TensorSpec`, one frame without batch dimensions.
      capacity: frames in all; each environment gets `capacity // num_envs` steps.
      num_envs: environments that write together, one frame each a step.
      alpha: in `[0, 1]`; 0 draws uniformly.
      frame_stack: images to store once and stack when drawn.
      memory_limit_bytes: what frames and priorities may take; None: what the machine has free.

    Raises:
      ConfigError: alpha out of range, or what `HostReplay` raises.

    Source: Schaul et al. 2016, "Prioritized experience replay", section 3.3 and appendix B.2.1.
    """

    def __init__(
        self,
        frame_spec: Any,
        capacity: int,
        num_envs: int = 1,
        *,
        alpha: float = 0.6,
        frame_stack: FrameStack | None = None,
        memory_limit_bytes: int | None = None,
    ):
        _require_fraction("alpha", alpha)
        length = _limits.ring_length(capacity, num_envs)
        free = _limits.free_host_bytes() if memory_limit_bytes is None else memory_limit_bytes
        frame_bytes = FrameLayout.of(frame_spec).frame_bytes + _PRIORITY_BYTES
        _limits.require_memory(frame_bytes * length * num_envs, free, capacity)

        self._ring = HostReplay(frame_spec, capacity, num_envs, frame_stack=frame_stack, memory_limit_bytes=free)
        self.frame_spec = frame_spec
        self.capacity = capacity
        self.num_envs = num_envs
        self.length = length
        self._alpha = alpha
        self._max_priority = 1.0
        self._priorities = np.zeros((length, num_envs))
        self._tree = SumTree(self._priorities.size)
        self._open = range(0)  # The window starts whose priorities stand in the tree; all other leaves are 0.

    @property
    def size(self) -> int:
        """Steps held for each environment."""
        return self._ring.size

    def num_windows(self, num_steps: int) -> int:
        """Returns how many windows of `num_steps` frames are held, those of priority 0 included."""
        return self._ring.num_windows(num_steps)

    def can_sample(self, num_steps: int) -> bool:
        """Returns whether a window of `num_steps` frames is held."""
        return self._ring.can_sample(num_steps)

    def add(self, frames: Any) -> None:
        """Adds one frame of every environment with the largest priority so far. As `HostReplay.add`."""
        self._ring.add(frames)
        self._priorities[self._ring.times[-1] % self.length] = self._max_priority

    def sample(
        self, batch_size: int, num_steps: int, beta: float, generator: np.random.Generator
    ) -> tuple[Any, ReplaySample]:
        """Returns a batch of windows, drawn in proportion to their priorities, with replacement.

        Args:
          batch_size: rows.
          num_steps: consecutive frames in a row. Cheapest if the same at every call.
          beta: in `[0, 1]`, how far the weights correct the draw; commonly annealed to 1.
          generator: advanced by `batch_size` draws.

        Returns:
          The nest of `frame_spec` with leaves `[batch_size, num_steps, ...]`, and how it was drawn: hand
          `info.indices` to `update_priorities`, and `info.weights`, `(N p)^-beta / max`, to the loss.

        Raises:
          ConfigError: `beta`, `num_steps` or `batch_size` out of range.
          StorageError: fewer windows than the batch has rows, or all priorities are 0: then nothing can be drawn.
        """
        _require_fraction("beta", beta)
        _limits.require_windows(self.num_windows(num_steps), batch_size, num_steps)
        self._open_windows(self._ring.window_starts(num_steps))
        if self._tree.total == 0:
            raise StorageError(
                "all priorities are 0: no window can be drawn",
                cause="temporal-difference errors were given as they are, and all became 0.",
                fix="replay.update_priorities(info.indices, np.abs(td_errors) + 1e-6)",
            )
        strata = (np.arange(batch_size) + generator.random(batch_size)) / batch_size
        leaves = self._tree.find(strata * self._tree.total)
        values = self._tree.get(leaves)
        # Divided by the largest weight, that of the smallest value, N cancels; the ratio cannot overflow.
        weights = (values.min() / values) ** beta

        # Rows follow the oldest start around the ring.
        row, env = np.divmod(leaves, self.num_envs)
        oldest = self._open.start
        indices = WindowIndices(env=env, time=oldest + (row - oldest) % self.length)
        probabilities = (values / self._tree.total).astype(np.float32)
        return self._ring.gather(indices, num_steps), ReplaySample(indices, probabilities, weights.astype(np.float32))

    def update_priorities(self, indices: WindowIndices, priorities: np.ndarray) -> None:
        """Sets the priorities of windows that were drawn.

        Windows whose first frame has been overwritten or cleared since are passed over: step numbers are never reused,
        so a late update cannot reach the frame that took the place. Of a window that is given twice, the last counts.
        A window of priority 0 is not drawn again (unless alpha is 0).

        Args:
          indices: `info.indices` of a draw, `[n]` each.
          priorities: `[n]`, from 0 to the largest float32; commonly `|td error| + 1e-6`.

        Raises:
          ConfigError: NaN, negative or too large; nothing is changed.
          SpecError: other shapes, or indices that this replay never gave; nothing is changed.
        """
        time, env = np.asarray(indices.time), np.asarray(indices.env)
        priorities = np.asarray(priorities, np.float64)
        if not priorities.shape == time.shape == env.shape == (priorities.size,):
            raise SpecError(
                "priorities and indices differ in shape",
                expected=f"({time.size},)",
                got=f"priorities {priorities.shape}, time {time.shape}, env {env.shape}",
            )
        times = self._ring.times
        if not np.all((time < times.stop) & (env >= 0) & (env < self.num_envs)):
            raise SpecError("indices were not drawn from this replay", cause="another replay's, or made up.")
        bad = np.flatnonzero(~((priorities >= 0) & (priorities <= _MAX_PRIORITY)))
        if bad.size:
            raise ConfigError(
                f"{bad.size} of {priorities.size} priorities are out of range, first at row {bad[0]}",
                expected=f"0 to {_MAX_PRIORITY:.3g}",
                got=f"{priorities[bad[0]]}",
                cause="signed or non-finite temporal-difference errors.",
                fix="replay.update_priorities(info.indices, np.abs(td_errors) + 1e-6)",
            )
        held = time >= times.start
        time, env, priorities = time[held], env[held], priorities[held]
        self._priorities[time % self.length, env] = priorities
        self._max_priority = max(self._max_priority, priorities.max(initial=0.0))
        is_open = (time >= self._open.start) & (time < self._open.stop)
        row, env = time[is_open] % self.length, env[is_open]
        self._tree.set(row * self.num_envs + env, self._priorities[row, env] ** self._alpha)

    def clear(self) -> None:
        """Removes every frame and its priority; the largest priority so far is kept for new frames."""
        self._ring.clear()

    def state_dict(self) -> dict[str, np.ndarray]:
        """Returns copies of all that `load_state_dict` needs: as `HostReplay`, `priorities` and `max_priority`."""
        rows = np.array(self._ring.times, np.int64) % self.length
        return self._ring.state_dict() | {
            "priorities": self._priorities[rows],
            "max_priority": np.array(self._max_priority),
        }

    def load_state_dict(self, saved: Mapping[str, np.ndarray]) -> None:
        """Restores what `state_dict` returned; draws and weights are then exactly equal.

        Raises:
          StorageError: as `HostReplay`, or priorities out of range; nothing is changed.
        """
        ring = dict(saved)
        priorities = np.asarray(ring.pop("priorities", np.nan))
        max_priority = np.asarray(ring.pop("max_priority", np.nan))
        for name, value, shape in (
            ("priorities", priorities, np.shape(ring.get("history", ()))),
            ("max_priority", max_priority, ()),
        ):
            if value.shape != shape or value.dtype != np.float64 or not np.all((value >= 0) & (value <= _MAX_PRIORITY)):
                raise StorageError(
                    f"saved replay does not match at {name}",
                    expected=f"float64 {shape} from 0 to {_MAX_PRIORITY:.3g}",
                    got=f"{value.dtype} {value.shape}",
                    cause="saved by another kind of replay." if name not in saved else None,
                )
        self._ring.load_state_dict(ring)
        self._priorities[np.array(self._ring.times, np.int64) % self.length] = priorities
        self._max_priority = float(max_priority)
        self._tree = SumTree(self._priorities.size)
        self._open = range(0)

    def _open_windows(self, starts: range) -> None:
        """Makes the tree hold the priorities of these window starts, and 0 elsewhere.

        Called at each draw instead of at each `add`: one pass through the tree for all frames added in between.
        """
        closed, opened = _difference(self._open, starts), _difference(starts, self._open)
        # A new frame may reuse the row of a removed one: its value is set last.
        rows = np.concatenate([closed, opened]) % self.length
        values = self._priorities[rows] ** self._alpha
        values[: closed.size] = 0
        leaves = rows[:, None] * self.num_envs + np.arange(self.num_envs)
        self._tree.set(leaves.ravel(), values.ravel())
        self._open = starts


def _difference(left: range, right: range) -> np.ndarray:
    """Returns the numbers in `left` but not in `right`, ascending, int64."""
    before = np.arange(left.start, min(left.stop, right.start), dtype=np.int64)
    after = np.arange(max(left.start, right.stop), left.stop, dtype=np.int64)
    return np.concatenate([before, after])


def _require_fraction(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} is out of range", expected="0 to 1", got=str(value))
