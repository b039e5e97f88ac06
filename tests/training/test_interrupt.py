import os
import signal

import pytest

from jaxdaw.training import Interrupts, exit_status


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
