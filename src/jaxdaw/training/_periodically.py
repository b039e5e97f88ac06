"""Periodically: something that is done at every so many calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Periodically:
    """Runs `body` at calls `period`, `2 * period`, ...; a period of None never does.

    Args:
      body: called without arguments.
      period: at least 1, or None.

    Raises:
      TypeError: `body` is not callable.

    >>> calls = []
    >>> periodic = Periodically(lambda: calls.append(1), period=2)
    >>> for _ in range(5):
    ...     periodic()
    >>> len(calls)
    2
    """

    def __init__(self, body: Callable[[], Any], period: int | None):
        if not callable(body):
            raise TypeError(f"the body of Periodically must be callable, got {type(body).__name__}")
        self._body = body
        self._period = period
        self._calls = 0

    def __call__(self) -> None:
        """Counts a call, and runs the body if it is due."""
        self._calls += 1
        if self._period is not None and self._calls % self._period == 0:
            self._body()
