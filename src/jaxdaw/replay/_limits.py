"""Checks of replays: lengths, memory, and the number of windows."""

from __future__ import annotations

import os
import pathlib

from jaxdaw.errors import ConfigError, StorageError

_MEMINFO = pathlib.Path("/proc/meminfo")


def ring_length(capacity: int, num_envs: int) -> int:
    """Returns the steps held for each environment: `capacity // num_envs`, at least 2.

    Raises:
      ConfigError: fewer than one environment, or no room for two steps each: a transition needs two frames.

    >>> ring_length(10, 3)
    3
    """
    if num_envs < 1:
        raise ConfigError("num_envs is out of range", expected="at least 1", got=str(num_envs))
    if capacity // num_envs < 2:
        raise ConfigError(
            "capacity leaves no room for two steps of each environment",
            expected=f"at least {2 * num_envs} frames (2 x num_envs)",
            got=f"{capacity} frames",
            cause="capacity counts the frames of all environments together.",
            fix=f"capacity={2 * num_envs}  # or far more",
        )
    return capacity // num_envs


def require_window(num_steps: int, length: int) -> None:
    """Raises `ConfigError` unless a window of `num_steps` frames fits into `length` steps."""
    if not 1 <= num_steps <= length:
        raise ConfigError(
            "num_steps does not fit this replay",
            expected=f"1 to {length} (steps held for each environment)",
            got=str(num_steps),
            cause="capacity is shared by num_envs environments.",
            fix="raise capacity, or lower num_steps",
        )


def require_windows(available: int, batch_size: int, num_steps: int) -> None:
    """Raises unless a batch can be drawn.

    Raises:
      ConfigError: the batch has no rows.
      StorageError: fewer distinct windows are held than the batch has rows.
    """
    if batch_size < 1:
        raise ConfigError("batch_size is out of range", expected="at least 1", got=str(batch_size))
    if available < batch_size:
        raise StorageError(
            f"replay holds {available} items, need >= {batch_size}; collect more or lower batch_size",
            cause=f"an item is a window of {num_steps} consecutive frames of one environment; too early a draw.",
            fix="if replay.can_sample(...): experience, info = replay.sample(...)",
        )


def free_host_bytes() -> int | None:
    """Returns the bytes of memory that this machine can still give, or None where it does not say.

    Linux: `MemAvailable`; other systems: free physical pages. A container's own limit is not looked at.
    """
    if _MEMINFO.exists():
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def require_memory(needed: int, free: int | None, capacity: int) -> None:
    """Raises `ConfigError`, naming both, if a replay needs more bytes than are free. None: unknown, not checked.

    Asked before anything is allocated: the system grants memory that it does not have, and kills the process later.
    """
    if free is not None and needed > free:
        raise ConfigError(
            f"a replay of {capacity} frames does not fit into memory",
            expected=f"at most {free} bytes ({free / 2**30:.1f} GiB free)",
            got=f"{needed} bytes ({needed / 2**30:.1f} GiB, {max(1, needed // capacity)} a frame)",
            cause="capacity too large, or images stored as float32 or as stacks.",
            fix=f"capacity={capacity * free // needed}  # or store uint8, or use FrameStack",
        )
