"""Signals: the first asks for an orderly end, the second ends at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

_PATIENCE = 0.25
"""Seconds that someone else's code, an environment's step, may take to return once the work was asked to end."""


class _Overdue(KeyboardInterrupt):
    """Leaves someone else's code that did not return in time."""


class Interrupts:
    """While entered, SIGINT, SIGTERM and SIGHUP call `stop` once; a second one raises KeyboardInterrupt.

    Work that was asked to end and waits for an environment that does not return is taken out of it a moment later: the
    block is left as if it had ended by itself. Code that does not return to Python cannot be left.

    Args:
      stop: asks the work to end at its next consistent point; called from a signal handler.
      waits: whether the work is in someone else's code at this moment, where it is consistent and may be left.
    """

    def __init__(self, stop: Callable[[], Any], waits: Callable[[], bool] = lambda: False):
        self._stop = stop
        self._waits = waits
        self._asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                if hasattr(signal, name):
                    number = getattr(signal, name)
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        if self._asked and hasattr(signal, "SIGALRM"):
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        return kind is _Overdue

    def _handle(self, number: int, frame: Any) -> None:
        del frame
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        _received.append(number)
        self._stop()
        if hasattr(signal, "SIGALRM"):
            self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._leave)
            signal.setitimer(signal.ITIMER_REAL, _PATIENCE, _PATIENCE)

    def _leave(self, number: int, frame: Any) -> None:
        del number, frame
        if self._waits():
            raise _Overdue


_received: list[int] = []


def exit_status() -> int:
    """Returns the shell's status for a process that a signal asked to end: 128 plus the first signal's number."""
    return 128 + (_received[0] if _received else signal.SIGINT)
