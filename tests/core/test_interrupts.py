"""satstudy.core.interrupts: the first interrupt waits, the second does not."""

import os
import signal
import threading

import pytest

from satstudy.core import hardware


def test_a_second_interrupt_stops_at_once():
    with hardware.deferred_interrupts() as came:
        os.kill(os.getpid(), signal.SIGINT)
        assert came
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_afterwards_interrupts_raise_as_before():
    before = signal.getsignal(signal.SIGINT)
    with hardware.deferred_interrupts() as came:
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
    assert not came


def test_in_another_thread_there_is_nothing_to_hold_back():
    seen = []

    def work():
        with hardware.deferred_interrupts() as came:
            seen.append(came)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [[]], "and no ValueError from signal"
