"""Searching a ladder of settings."""

from __future__ import annotations

from collections.abc import Callable


def closest(rate: Callable[[int], float], count: int, wanted: float) -> int:
    """Which of `count` settings, rising in rate, comes closest to the rate wanted, by bisection.

    >>> closest([0.1, 0.2, 0.4, 0.8].__getitem__, 4, 0.5)
    2
    """
    low, high = 0, count - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if rate(middle) < wanted else (low, middle)
    return min(range(low, high + 1), key=lambda index: abs(rate(index) - wanted))
