import os
import signal
import time

import pytest

from jaxdaw.training import exit_status
from jaxdaw.training._interrupt import Interrupts


def test_the_first_signal_asks_and_the_second_ends():
    asked = []
    before = signal.getsignal(signal.SIGINT)
    with Interrupts(lambda: asked.append(1)):
        os.kill(os.getpid(), signal.SIGINT)
        assert asked == [1]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert exit_status() == 130


def test_work_that_waits_for_someone_else_is_left_soon_after_it_was_asked_to_end():
    asked, started = [], time.monotonic()
    with Interrupts(lambda: asked.append(1), waits=lambda: True):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)
    assert asked == [1]
    assert time.monotonic() - started < 5
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_work_of_its_own_is_not_left():
    with Interrupts(lambda: None, waits=lambda: False):
        os.kill(os.getpid(), signal.SIGINT)
        deadline = time.monotonic() + 0.6
        while time.monotonic() < deadline:
            pass
        finished = True
    assert finished
