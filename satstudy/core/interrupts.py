"""Interrupts that wait for work to be complete."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def held_back() -> Iterator[list[int]]:
    """Within, an interrupt (Ctrl-C) is noted and raises nothing: the list is no longer empty once one came.

    A training step that stops half-way leaves weights and their average at different times, and such a state
    could not be resumed to the same end. A second interrupt stops at once. Other threads than the main one get no
    interrupts.
    """
    came: list[int] = []

    def note(number: int, frame: Any) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    previous = signal.signal(signal.SIGINT, note)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, previous)
