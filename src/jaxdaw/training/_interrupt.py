"""Signals: the first asks for an orderly end, the second ends at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any


class Interrupts:
    """While entered, SIGINT, SIGTERM and SIGHUP call `stop` once; a second one raises KeyboardInterrupt.

    Args:
      stop: asks the work to end at its next consistent point; called from a signal handler.
    """

    def __init__(self, stop: Callable[[], Any]):
        self._stop = stop
        self._asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                if hasattr(signal, name):
                    number = getattr(signal, name)
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: Any) -> None:
        del frame
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        _received.append(number)
        self._stop()


_received: list[int] = []


def exit_status() -> int:
    """Returns the shell's status for a process that a signal asked to end: 128 plus the first signal's number."""
    return 128 + (_received[0] if _received else signal.SIGINT)
